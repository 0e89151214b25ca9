import { describe, expect } from "vitest";
import { claim, only } from "../../agent.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases } from "../../rows.ts";
import { failure } from "../../settlements.ts";
import { untilWaiting } from "../../until-waiting.ts";
import { expandAll, mapOf, numbers, result, startMap } from "./map-run.ts";

export function mapRacesContract(test: QueueTest): void {
  describe("a step that maps over a list, at the same moment as something else,", () => {
    test.afterEach(async ({ queue, database }) => {
      expect(await queue.verify()).toEqual([]);
      const left = await database.sql`
        select id from public.loom_runs as run
         where status <> 'running' and exists (select from public.loom_ready where run_id = run.id)`;
      expect(left).toEqual([]);
    });

    // Interleaving: both read the same step as due. The second waits for the run's lock, and then goes on behind the
    // first's items.
    test("has each item once, whatever hubs expand it at the same time", async ({ queue }) => {
      const { map } = await startMap(queue, numbers(900));
      const made = await Promise.all(numbers(6).map(() => queue.expandMaps({ limit: 200 })));
      expect(made.reduce((sum, each) => sum + each.made, 0)).toBe(900);
      const seen = new Set<number>();
      for (let after: number | undefined; ; ) {
        const page = await queue.listItems(map, {
          limit: 500,
          ...(after !== undefined && { after }),
        });
        for (const { index } of page.items) seen.add(index);
        if (page.next === null) break;
        after = page.next;
      }
      expect(seen.size).toBe(900);
    });

    // Interleaving: a hub is killed, and its transaction with it.
    test("is expanded anew after a hub was killed while it did", async ({ queue, database }) => {
      await startMap(queue, numbers(10));
      await database.sql
        .begin(async (sql) => {
          await sql`select public.loom_expand_maps()`;
          throw new Error("killed");
        })
        .catch(() => {});
      expect(await expandAll(queue)).toBe(10);
    });

    // Interleaving: the list is expanded, and not committed yet, when the run is cancelled. The cancel waits for the
    // run's lock and then finds the items.
    test("leaves no item behind when it is cancelled while it is expanded", async ({
      queue,
      database,
    }) => {
      const { runId } = await startMap(queue, numbers(20));
      let cancelling: Promise<unknown> | undefined;
      await database.sql.begin(async (sql) => {
        await sql`select public.loom_expand_maps(5)`;
        cancelling = queue.cancelRun(runId);
        await Promise.race([untilWaiting(database), cancelling]);
      });
      await cancelling;
      expect(await queue.getRun(runId)).toMatchObject({
        status: "cancelled",
        jobs: [
          {},
          { state: "cancelled", items: { total: 20, made: 5, cancelled: 5 } },
          { state: "cancelled" },
        ],
      });
      expect(await queue.expandMaps()).toEqual({ made: 0, more: false, failed: [] });
    });

    // Interleaving: the other way round. The expansion waits for the run's lock, and finds the step cancelled.
    test("gets no item after it was cancelled", async ({ queue, database }) => {
      const { runId } = await startMap(queue, numbers(20));
      let expanding: Promise<unknown> | undefined;
      await database.sql.begin(async (sql) => {
        await sql`select public.loom_cancel_run(${runId})`;
        expanding = queue.expandMaps();
        await Promise.race([untilWaiting(database), expanding]);
      });
      expect(await expanding).toEqual({ made: 0, more: false, failed: [] });
      expect(await queue.getRun(runId)).toMatchObject({ status: "cancelled" });
    });

    // Interleavings: the last item is settled, and not committed yet, when the run is cancelled; and the other way
    // round. Whoever has the run's lock first decides, and the other finds the step ended or cancelled.
    test.for(["settle", "cancel"] as const)(
      "ends once when its last item is settled while it is cancelled: $0 first",
      async (first, { queue, database }) => {
        const { runId, session } = await startMap(queue, [1]);
        await expandAll(queue);
        const item = only(await claim(queue, session, { seq: 2 }));
        const settled = JSON.stringify([{ ...result(item, null), result: "1" }]);
        let second: Promise<unknown> | undefined;
        await database.sql.begin(async (sql) => {
          if (first === "settle") {
            await sql`select public.loom_exchange('forge', p_items => ${settled}::text::json)`;
            second = queue.cancelRun(runId);
          } else {
            await sql`select public.loom_cancel_run(${runId})`;
            second = queue.settle("forge", [result(item, 1)]);
          }
          await Promise.race([untilWaiting(database), second]);
        });
        await second;
        // A success still counts, whoever asked meanwhile.
        expect(await queue.getRun(runId)).toMatchObject({
          status: "cancelled",
          jobs: [{}, { state: "succeeded", result: [1] }, { state: "cancelled" }],
        });
      },
    );

    test("is cancelled once its running items have stopped", async ({ queue }) => {
      const { runId, map, session } = await startMap(queue, [1, 2, 3], { slots: 1 });
      await expandAll(queue);
      const running = only(await claim(queue, session, { seq: 2 }));
      expect(await queue.cancel([map])).toEqual([{ id: map, answer: "requested" }]);
      expect(await mapOf(queue, runId)).toMatchObject({
        state: "mapping",
        items: { cancelled: 2 },
      });
      await queue.settle("forge", [failure(running)]);
      expect(await mapOf(queue, runId)).toMatchObject({
        state: "cancelled",
        items: { cancelled: 3 },
      });
      expect((await queue.getRun(runId)).status).toBe("cancelled");
    });

    // Interleaving: the reaper gives the last open item back for good while the run is cancelled.
    test("ends when its last item is lost with its node while it is cancelled", async ({
      queue,
      database,
    }) => {
      const { runId, session } = await startMap(queue, [1, 2]);
      await expandAll(queue);
      await claim(queue, session, { seq: 2 });
      await expireLeases(database);
      let reaping: Promise<unknown> | undefined;
      await database.sql.begin(async (sql) => {
        await sql`select public.loom_cancel_run(${runId})`;
        reaping = queue.reap();
        await Promise.race([untilWaiting(database), reaping]);
      });
      await reaping;
      expect(await queue.getRun(runId)).toMatchObject({
        status: "cancelled",
        jobs: [{}, { state: "cancelled", items: { cancelled: 2 } }, { state: "cancelled" }],
      });
    });
  });
}
