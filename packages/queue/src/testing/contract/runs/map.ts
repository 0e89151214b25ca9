import type { JsonValue } from "@loom/workflow";
import { describe, expect } from "vitest";
import type { ClaimedJob } from "../../../exchange/claims.ts";
import { claim, only, sayHello } from "../../agent.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases } from "../../rows.ts";
import { failure } from "../../settlements.ts";
import { expandAll, mapOf, mapOver, numbers, result, startMap } from "./map-run.ts";

export function mapContract(test: QueueTest): void {
  describe("a step that maps over a list", () => {
    test.afterEach(async ({ queue, database }) => {
      expect(await queue.verify()).toEqual([]);
      const left = await database.sql`
        select id from public.loom_runs as run
         where status <> 'running' and exists (select from public.loom_ready where run_id = run.id)`;
      expect(left).toEqual([]);
    });

    test("has a job for each item, and hands their results on in the list's order", async ({
      queue,
    }) => {
      const { runId, map, session } = await startMap(queue, ["a", { b: 1 }, null, "x".repeat(300)]);
      expect(await mapOf(queue, runId)).toMatchObject({ state: "mapping", items: { total: null } });
      expect(await queue.expandMaps()).toEqual({ made: 4, more: false, failed: [] });

      const items = await claim(queue, session, { seq: 2 });
      expect(items.map(({ item, step, input, runId: of }) => ({ item, step, input, of }))).toEqual(
        ["a", { b: 1 }, null, "x".repeat(300)].map((value, index) => ({
          item: { value, index },
          step: "each",
          input: {},
          of: runId,
        })),
      );
      // The last first: the order is the list's, not that of their ends.
      for (const item of items.toReversed()) {
        await queue.settle("forge", [result(item, item.item?.index ?? -1)]);
      }
      expect(await queue.getJob(map)).toMatchObject({
        state: "succeeded",
        result: [0, 1, 2, 3],
        items: { total: 4, made: 4, succeeded: 4, failed: 0, cancelled: 0 },
      });
      const end = only(await claim(queue, session, { seq: 3 }));
      expect(end).toMatchObject({ step: "end", results: { each: [0, 1, 2, 3] } });
      expect(end.item).toBeUndefined();
      await queue.settle("forge", [result(end, null)]);
      expect(await queue.getRun(runId)).toMatchObject({ status: "succeeded" });
    });

    test("gives its items the results of the other steps that it needs, not the list", async ({
      queue,
    }) => {
      const { runId } = await queue.startRun(
        makePlan([
          { step: "list", host: "forge" },
          { step: "config", host: "forge" },
          {
            step: "each",
            after: ["list", "config"],
            host: "forge",
            map: mapOver({ path: "files", key: "name" }),
          },
        ]),
      );
      const session = await sayHello(queue, "forge");
      const [list, config] = await claim(queue, session);
      if (!list || !config) throw new Error("two steps were to be claimed");
      await queue.settle("forge", [
        result(list, { files: [{ name: "a.mkv" }, { name: 2 }] }),
        result(config, { crf: 23 }),
      ]);
      await expandAll(queue);
      expect(await claim(queue, session, { seq: 2 })).toMatchObject([
        { item: { value: { name: "a.mkv" } }, results: { config: { crf: 23 } } },
        { item: { value: { name: 2 } }, results: { config: { crf: 23 } } },
      ]);
      const map = await mapOf(queue, runId);
      expect(await queue.listItems(map?.id ?? 0)).toMatchObject({
        items: [{ index: 0, key: "a.mkv", state: "running", host: "forge" }, { key: "2" }],
        next: null,
      });
    });

    test("succeeds at once over an empty list", async ({ queue }) => {
      const { runId, session } = await startMap(queue, []);
      await queue.expandMaps();
      expect(await mapOf(queue, runId)).toMatchObject({ state: "succeeded", result: [] });
      expect(only(await claim(queue, session, { seq: 2 }))).toMatchObject({
        results: { each: [] },
      });
    });

    test.for([
      {
        title: "an object",
        list: { a: 1 },
        error: ["MAP_NOT_A_LIST", "list is not a list: it is an object"],
      },
      { title: "null", list: null, error: ["MAP_NOT_A_LIST", "list is not a list: it is null"] },
      {
        title: "a text",
        list: "a",
        error: ["MAP_NOT_A_LIST", "list is not a list: it is a string"],
      },
      {
        title: "no such property",
        list: { a: [] },
        path: "b",
        error: ["MAP_NOT_A_LIST", "list.b is not a list: it is missing"],
      },
      {
        title: "10 001 items",
        list: numbers(10_001),
        error: ["MAP_TOO_LONG", "list has 10001 items, of at most 10000"],
      },
      {
        title: "an item of 300 KB",
        list: [1, "x".repeat(300_000)],
        error: ["MAP_ITEM_TOO_LARGE", "item 1 of list holds 300002 bytes"],
      },
      {
        title: "an item without its key",
        list: [{ id: 1 }, { id: null }],
        key: "id",
        error: ["MAP_KEY_INVALID", "item 1 of list has no id"],
      },
      {
        title: "items of one key",
        list: [{ id: 1 }, { id: 2 }, { id: "1" }],
        key: "id",
        error: ["MAP_KEY_INVALID", "item 2 of list has the same id"],
      },
      {
        title: "an unreadable property",
        list: { "\u0000": 1, b: [] },
        path: "b",
        error: ["MAP_LIST_UNREADABLE", "list.b cannot be read"],
      },
    ] as {
      title: string;
      list: JsonValue;
      path?: string;
      key?: string;
      error: [string, string];
    }[])(
      "fails with a code over $title",
      async ({ list, path = null, key = null, error: [code, message] }, { queue }) => {
        const { runId } = await startMap(queue, list, { path, key });
        expect(await queue.expandMaps()).toEqual({ made: 0, more: false, failed: [] });
        const run = await queue.getRun(runId);
        expect(run).toMatchObject({
          status: "failed",
          jobs: [
            { state: "succeeded" },
            { state: "failed", error: { code } },
            { state: "skipped" },
          ],
        });
        expect(run.jobs[1]?.error).toMatchObject({ message: expect.stringContaining(message) });
      },
    );

    test("keeps texts that Postgres cannot hold", async ({ queue }) => {
      const list = ["a\u0000", "\ud800"];
      const { runId, session } = await startMap(queue, list);
      await expandAll(queue);
      const items = await claim(queue, session, { seq: 2 });
      expect(items.map(({ item }) => item?.value)).toEqual(list);
      await queue.settle(
        "forge",
        items.map((item) => result(item, item.item?.value ?? null)),
      );
      expect(await mapOf(queue, runId)).toMatchObject({ result: list });
    });

    test("fails with its items, when all have ended", async ({ queue }) => {
      const { runId, session } = await startMap(queue, [1, 2, 3]);
      await expandAll(queue);
      const [first, second, third] = await claim(queue, session, { seq: 2 });
      if (!first || !second || !third) throw new Error("three items were to be claimed");
      await queue.settle("forge", [failure(second)]);
      expect(await mapOf(queue, runId)).toMatchObject({ state: "mapping", items: { failed: 1 } });
      await queue.settle("forge", [result(first, 1), result(third, 3)]);
      expect(await queue.getRun(runId)).toMatchObject({
        status: "failed",
        jobs: [
          {},
          {
            state: "failed",
            error: {
              code: "ITEMS_FAILED",
              message: "1 of 3 items failed, and 0 may; the first is item 1: boom",
            },
          },
          { state: "skipped" },
        ],
      });
    });

    test.for([
      { tolerate: 1, failures: 1, state: "succeeded" },
      { tolerate: 1, failures: 2, state: "failed" },
      { tolerate: "50%", failures: 2, state: "succeeded" },
      { tolerate: "49%", failures: 2, state: "failed" },
    ] as const)(
      "lets $tolerate of four fail: $failures that fail make it $state",
      async ({ tolerate, failures, state }, { queue }) => {
        const { runId, session } = await startMap(queue, numbers(4), { tolerate });
        await expandAll(queue);
        const items = await claim(queue, session, { seq: 2 });
        await queue.settle(
          "forge",
          items.map((item, index) => (index < failures ? failure(item) : result(item, index))),
        );
        const failed = { ok: false, error: { code: null, message: "boom" } };
        expect(await mapOf(queue, runId)).toMatchObject({
          state,
          ...(state === "succeeded" && {
            result: numbers(4).map((index) =>
              index < failures ? failed : { ok: true, value: index },
            ),
          }),
        });
        expect((await queue.getRun(runId)).status).toBe(
          state === "succeeded" ? "running" : "failed",
        );
      },
    );

    test("tries an item again by itself", async ({ queue, database }) => {
      const retry = { attempts: 2, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } } as const;
      const { runId, session } = await startMap(queue, [1, 2], { retry });
      await expandAll(queue);
      const [first, second] = await claim(queue, session, { seq: 2 });
      if (!first || !second) throw new Error("two items were to be claimed");
      await queue.settle("forge", [failure(first), result(second, 2)]);
      const again = only(await claim(queue, session, { seq: 3 }));
      expect(again).toMatchObject({ id: first.id, attempt: 2, item: { index: 0, value: 1 } });

      // Its node is lost: the item goes back like any job.
      await expireLeases(database);
      await queue.reap();
      expect(await queue.getJob(first.id)).toMatchObject({ state: "pending", crashRestarts: 1 });
      expect(await mapOf(queue, runId)).toMatchObject({
        state: "mapping",
        items: { succeeded: 1 },
      });
    });

    test("lets no more items run than its limit", async ({ queue }) => {
      const { runId, map, session } = await startMap(queue, numbers(5), { concurrency: 2 });
      await expandAll(queue);
      expect(await mapOf(queue, runId)).toMatchObject({ items: { total: 5, made: 5 } });
      let seq = 2;
      const first = await claim(queue, session, { seq });
      expect(first.map(({ item }) => item?.index)).toEqual([0, 1]);
      expect(await claim(queue, session, { seq: 3 })).toEqual([]);
      // A blocked item that is cancelled takes no place.
      const { items } = await queue.listItems(map);
      await queue.cancel([items[2]?.id ?? 0]);
      await queue.settle("forge", [result(first[1] as ClaimedJob, 1)]);
      seq += 1;
      const next = await claim(queue, session, { seq });
      expect(next.map(({ item }) => item?.index)).toEqual([3]);
      await queue.settle("forge", [
        result(first[0] as ClaimedJob, 0),
        result(next[0] as ClaimedJob, 3),
      ]);
      seq += 1;
      const last = only(await claim(queue, session, { seq }));
      expect(last.item?.index).toBe(4);
      await queue.settle("forge", [result(last, 4)]);
      expect(await queue.getRun(runId)).toMatchObject({ status: "cancelled" });
    });

    test("fails the steps after it, not itself, if the results are too large together", async ({
      queue,
    }) => {
      const { runId, session } = await startMap(queue, numbers(5));
      await expandAll(queue);
      for (const item of await claim(queue, session, { seq: 2 })) {
        await queue.settle("forge", [result(item, "x".repeat(1_000_000))]);
      }
      expect(await queue.getRun(runId)).toMatchObject({
        status: "failed",
        jobs: [
          {},
          { state: "succeeded", result: null },
          { state: "failed", error: { code: "RESULTS_TOO_LARGE" } },
        ],
      });
    });

    test("that fails keeps no step from running after it, however large its results are", async ({
      queue,
    }) => {
      const { runId } = await queue.startRun(
        makePlan([
          { step: "list", host: "forge" },
          { step: "each", after: ["list"], host: "forge", map: mapOver() },
          { step: "tidy", after: ["each"], host: "forge", runsAfter: "always" },
        ]),
      );
      const session = await sayHello(queue, "forge");
      await queue.settle("forge", [result(only(await claim(queue, session)), numbers(6))]);
      await expandAll(queue);
      const [bad, ...good] = await claim(queue, session, { seq: 2 });
      for (const item of good) {
        await queue.settle("forge", [result(item, "x".repeat(1_000_000))]);
      }
      await queue.settle("forge", [failure(bad as ClaimedJob)]);
      expect(only(await claim(queue, session, { seq: 3 }))).toMatchObject({
        step: "tidy",
        results: {},
      });
      expect(await queue.getRun(runId)).toMatchObject({ status: "running" });
    });

    test("is expanded in chunks, and lists its items page by page", { timeout: 60_000 }, async ({
      queue,
      database,
    }) => {
      const { runId, map } = await startMap(queue, numbers(1_200));
      expect(await queue.expandMaps()).toEqual({ made: 500, more: true, failed: [] });
      expect(await mapOf(queue, runId)).toMatchObject({ items: { total: 1_200, made: 500 } });
      expect(await queue.expandMaps()).toMatchObject({ made: 500, more: true });
      expect(await queue.expandMaps()).toEqual({ made: 200, more: false, failed: [] });
      expect(await queue.expandMaps()).toEqual({ made: 0, more: false, failed: [] });
      const page = await queue.listItems(map, { limit: 500 });
      expect(page.items.map(({ index }) => index)).toEqual(numbers(500));
      expect(await queue.listItems(map, { after: 1_198 })).toMatchObject({
        items: [{ index: 1_199 }],
        next: null,
      });
      // Steps are listed, not their items.
      expect((await queue.getRun(runId)).jobs).toHaveLength(3);
      expect((await queue.listJobs({ runId })).jobs).toHaveLength(3);
      expect((await queue.listRuns()).runs).toMatchObject([
        { steps: { succeeded: 1, mapping: 1, blocked: 1 } },
      ]);
      await queue.cancelRun(runId);

      await database.sql`update public.loom_runs set finished_at = now() - interval '31 days'`;
      const pruned = await queue.prune({ keepDays: 30, limit: 100 });
      expect(pruned).toMatchObject({ runs: 0, more: true });
      await queue.prune({ keepDays: 30, limit: 100 });
      expect(await database.sql`select from public.loom_jobs`).toEqual([]);
      expect(await database.sql`select from public.loom_maps`).toEqual([]);
    });
  });
}
