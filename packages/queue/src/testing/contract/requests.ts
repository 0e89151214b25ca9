import { describe, expect } from "vitest";
import type { ApiRequest } from "../../request.ts";
import { makeJob } from "../new-job.ts";
import { makePlan } from "../plan.ts";
import type { QueueTest } from "../queue-test.ts";

const request = (rest: Partial<ApiRequest> = {}): ApiRequest => ({
  who: "ada",
  from: "100.64.0.7",
  action: "startRun",
  subject: "/api/loom/strands/w/run",
  id: "r-1",
  ...rest,
});
const keyed = (key: string, fingerprint = "f", rest: Partial<ApiRequest> = {}) =>
  request({ idempotency: { key, fingerprint }, ...rest });
const plan = makePlan([{ step: "only" }]);

export function requestsContract(test: QueueTest): void {
  describe("actingFor", () => {
    test("writes down who asked, from where, and what came of it", async ({ queue }) => {
      const { runId } = await queue.actingFor(request()).startRun(plan);
      expect(await queue.listRequests()).toEqual({
        requests: [
          {
            at: expect.any(Date),
            who: "ada",
            from: "100.64.0.7",
            action: "startRun",
            subject: "/api/loom/strands/w/run",
            id: "r-1",
            answer: expect.stringContaining(runId),
          },
        ],
        next: null,
      });
    });

    test("writes nothing down of what was refused or is not there", async ({ queue }) => {
      const acting = queue.actingFor(request());
      const { runId } = await queue.startRun(plan);
      await expect(acting.retryRun(runId, { mode: "all" })).rejects.toMatchObject({
        code: "RUN_NOT_FINISHED",
      });
      await expect(acting.cancelRun("00000000-0000-0000-0000-000000000000")).rejects.toMatchObject({
        code: "RUN_NOT_FOUND",
      });
      expect(await queue.listRequests()).toEqual({ requests: [], next: null });
    });

    test("does a request with a key once, and repeats its answer", async ({ queue }) => {
      let replays = 0;
      const acting = queue.actingFor(
        keyed("k", "f", {
          onReplayed: () => {
            replays += 1;
          },
        }),
      );
      const first = await acting.startRun(plan);
      expect(await acting.startRun(plan)).toEqual(first);
      expect(replays).toBe(1);
      expect((await queue.listRuns()).runs).toHaveLength(1);
      expect((await queue.listRequests()).requests).toHaveLength(1);
    });

    test("refuses a key for another request, and keeps keys apart by who and what", async ({
      queue,
    }) => {
      await queue.actingFor(keyed("k")).startRun(plan);
      await expect(queue.actingFor(keyed("k", "other")).startRun(plan)).rejects.toMatchObject({
        code: "IDEMPOTENCY_KEY_REUSED",
      });
      await queue.actingFor(keyed("k", "other", { who: "bo" })).startRun(plan);
      await queue.actingFor(keyed("k", "other", { action: "rerun" })).startRun(plan);
      expect((await queue.listRuns()).runs).toHaveLength(3);
    });

    test("leaves a key free whose request failed or found nothing", async ({ queue }) => {
      const acting = queue.actingFor(keyed("k"));
      const nobody = "00000000-0000-0000-0000-000000000000";
      await expect(acting.cancelRun(nobody)).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
      await expect(acting.startRun(makePlan([]))).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
      await queue.actingFor(keyed("k", "now")).startRun(plan);
      expect((await queue.listRuns()).runs).toHaveLength(1);
    });

    test("forgets a key after a day", async ({ queue, database }) => {
      await queue.actingFor(keyed("k")).startRun(plan);
      await database.sql`update public.loom_request_keys set created_at = now() - interval '25 hours'`;
      await queue.actingFor(keyed("k", "other")).startRun(plan);
      expect((await queue.listRuns()).runs).toHaveLength(2);
    });

    // Interleavings: one inserts the key; the others wait for it at the primary key, and find its
    // answer when it has committed.
    test("of many at once with one key does one", async ({ queue }) => {
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => queue.actingFor(keyed("k")).startRun(plan)),
      );
      expect(new Set(answers.map(({ runId }) => runId)).size).toBe(1);
      expect((await queue.listRuns()).runs).toHaveLength(1);
    });

    test("makes nothing new where that has to be there already", async ({ queue }) => {
      const existing = queue.actingFor(request({ existing: [0] }));
      await expect(existing.startRun(plan, { key: "k" })).rejects.toMatchObject({
        code: "NOT_EXISTING",
      });
      expect((await queue.listRuns()).runs).toEqual([]);
      const { runId } = await queue.startRun(plan, { key: "k" });
      expect(await existing.startRun(plan, { key: "k" })).toEqual({ runId, returned: "existing" });

      const [old] = await queue.enqueue([makeJob({ key: "old" })]);
      const asked = [makeJob({ key: "new" }), makeJob({ key: "old" })];
      await expect(existing.enqueue(asked)).rejects.toMatchObject({ code: "NOT_EXISTING" });
      expect((await queue.listJobs()).jobs.map(({ key }) => key)).not.toContain("new");
      expect(await queue.actingFor(request({ existing: [1] })).enqueue(asked)).toEqual([
        { id: expect.any(Number), returned: "created" },
        { id: old?.id, returned: "existing" },
      ]);
    });

    test("answers what an earlier request with the key made, and leaves the key free otherwise", async ({
      queue,
    }) => {
      const existing = queue.actingFor(keyed("k", "f", { existing: [0] }));
      await expect(existing.startRun(plan)).rejects.toMatchObject({ code: "NOT_EXISTING" });
      const first = await queue.actingFor(keyed("k")).startRun(plan);
      expect(await existing.startRun(plan)).toEqual(first);
      const other = queue.actingFor(keyed("k", "other", { existing: [0] }));
      await expect(other.startRun(plan)).rejects.toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED" });
    });

    // Interleavings of one that may make something and one that may not, with one key: whichever inserts
    // the key first makes the other wait at the primary key. The first makes the run and commits: the
    // second finds its answer. Or the second is refused and rolls back: the key is free, and the first
    // makes the run. Never is there a run, and an answer of none after it.
    test("of two at once with one key, one of which may make nothing, loses no answer", async ({
      queue,
    }) => {
      for (let round = 0; round < 10; round += 1) {
        const may = queue.actingFor(keyed(`k${round}`));
        const mayNot = queue.actingFor(keyed(`k${round}`, "f", { existing: [0] }));
        const [made, other] = await Promise.allSettled([
          may.startRun(plan),
          mayNot.startRun(plan),
        ] as const);
        if (made.status === "rejected") throw made.reason;
        if (other.status === "fulfilled") expect(other.value).toEqual(made.value);
        else expect(other.reason).toMatchObject({ code: "NOT_EXISTING" });
        expect(await mayNot.startRun(plan)).toEqual(made.value);
      }
      expect((await queue.listRuns()).runs).toHaveLength(10);
    });

    test("is read page by page, newest first", async ({ queue }) => {
      for (const id of ["1", "2", "3"]) {
        await queue.actingFor(request({ id })).pauseWorkflow(`w${id}`);
      }
      const first = await queue.listRequests({ limit: 2 });
      expect(first.requests.map(({ id }) => id)).toEqual(["3", "2"]);
      const second = await queue.listRequests({ limit: 2, after: first.next ?? "" });
      expect(second).toMatchObject({ requests: [{ id: "1" }], next: null });
      await expect(queue.listRequests({ after: "x" })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    });
  });
}
