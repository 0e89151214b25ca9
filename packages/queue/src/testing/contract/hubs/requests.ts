import { describe, expect } from "vitest";
import type { ApiRequest } from "../../../audit.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";

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
  describe("withAudit", () => {
    test("records the caller, the address and the outcome", async ({ queue }) => {
      const { runId } = await queue.withAudit(request()).startRun(plan);
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

    test("records no request that was refused or found nothing", async ({ queue }) => {
      const audited = queue.withAudit(request());
      const { runId } = await queue.startRun(plan);
      await expect(audited.retryRun(runId, { mode: "all" })).rejects.toMatchObject({
        code: "RUN_NOT_FINISHED",
      });
      await expect(audited.cancelRun("00000000-0000-0000-0000-000000000000")).rejects.toMatchObject(
        {
          code: "RUN_NOT_FOUND",
        },
      );
      expect(await queue.listRequests()).toEqual({ requests: [], next: null });
    });

    test("does a request with a key once, and repeats its answer", async ({ queue }) => {
      let replays = 0;
      const audited = queue.withAudit(
        keyed("k", "f", {
          onReplayed: () => {
            replays += 1;
          },
        }),
      );
      const first = await audited.startRun(plan);
      expect(await audited.startRun(plan)).toEqual(first);
      expect(replays).toBe(1);
      expect((await queue.listRuns()).runs).toHaveLength(1);
      expect((await queue.listRequests()).requests).toHaveLength(1);
    });

    test("refuses a key for another request, and separates keys by caller and operation", async ({
      queue,
    }) => {
      await queue.withAudit(keyed("k")).startRun(plan);
      await expect(queue.withAudit(keyed("k", "other")).startRun(plan)).rejects.toMatchObject({
        code: "IDEMPOTENCY_KEY_REUSED",
      });
      await queue.withAudit(keyed("k", "other", { who: "bo" })).startRun(plan);
      await queue.withAudit(keyed("k", "other", { action: "rerun" })).startRun(plan);
      expect((await queue.listRuns()).runs).toHaveLength(3);
    });

    test("frees a key when its request failed or found nothing", async ({ queue }) => {
      const audited = queue.withAudit(keyed("k"));
      const nobody = "00000000-0000-0000-0000-000000000000";
      await expect(audited.cancelRun(nobody)).rejects.toMatchObject({ code: "RUN_NOT_FOUND" });
      await expect(audited.startRun(makePlan([]))).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
      await queue.withAudit(keyed("k", "now")).startRun(plan);
      expect((await queue.listRuns()).runs).toHaveLength(1);
    });

    test("forgets a key after a day", async ({ queue, database }) => {
      await queue.withAudit(keyed("k")).startRun(plan);
      await database.sql`update public.loom_request_keys set created_at = now() - interval '25 hours'`;
      await queue.withAudit(keyed("k", "other")).startRun(plan);
      expect((await queue.listRuns()).runs).toHaveLength(2);
    });

    // Interleavings: one inserts the key; the others wait for it at the primary key, and find its
    // answer when it has committed.
    test("executes one of many simultaneous requests with one key", async ({ queue }) => {
      const answers = await Promise.all(
        Array.from({ length: 8 }, () => queue.withAudit(keyed("k")).startRun(plan)),
      );
      expect(new Set(answers.map(({ runId }) => runId)).size).toBe(1);
      expect((await queue.listRuns()).runs).toHaveLength(1);
    });

    test("creates nothing when the result must already exist", async ({ queue }) => {
      const existing = queue.withAudit(request({ existing: [0] }));
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
      expect(await queue.withAudit(request({ existing: [1] })).enqueue(asked)).toEqual([
        { id: expect.any(Number), returned: "created" },
        { id: old?.id, returned: "existing" },
      ]);
    });

    test("answers with the result of an earlier request with the key, and frees the key otherwise", async ({
      queue,
    }) => {
      const existing = queue.withAudit(keyed("k", "f", { existing: [0] }));
      await expect(existing.startRun(plan)).rejects.toMatchObject({ code: "NOT_EXISTING" });
      const first = await queue.withAudit(keyed("k")).startRun(plan);
      expect(await existing.startRun(plan)).toEqual(first);
      const other = queue.withAudit(keyed("k", "other", { existing: [0] }));
      await expect(other.startRun(plan)).rejects.toMatchObject({ code: "IDEMPOTENCY_KEY_REUSED" });
    });

    // Interleavings of one that may make something and one that may not, with one key: whichever inserts
    // the key first makes the other wait at the primary key. The first makes the run and commits: the
    // second finds its answer. Or the second is refused and rolls back: the key is free, and the first
    // makes the run. Never is there a run, and an answer of none after it.
    test("loses no answer when one of two simultaneous requests with one key may create nothing", async ({
      queue,
    }) => {
      for (let round = 0; round < 10; round += 1) {
        const may = queue.withAudit(keyed(`k${round}`));
        const mayNot = queue.withAudit(keyed(`k${round}`, "f", { existing: [0] }));
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
        await queue.withAudit(request({ id })).pauseWorkflow(`w${id}`);
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
