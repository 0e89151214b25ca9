import type { ClaimedJob, Queue, Settlement } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import type { PlannedJob } from "@loom/workflow";
import { describe, expect } from "vitest";
import { claim, offerAll, only, sayHello, test } from "./fixtures.ts";

/** A run of one step, claimed by forge. */
async function claimedJob(queue: Queue, options: Partial<PlannedJob> = {}) {
  const { runId } = await queue.startRun(makePlan([{ step: "only", ...options }]));
  const session = await sayHello(queue, "forge");
  await offerAll(queue, "forge");
  const job = only(await claim(queue, session));
  return { runId, session, job, read: async () => only((await queue.getRun(runId)).jobs) };
}

const success = ({ id, fence }: Pick<ClaimedJob, "id" | "fence">): Settlement => ({
  id,
  fence,
  outcome: "succeeded",
  result: { ok: true },
});
const failure = ({ id, fence }: Pick<ClaimedJob, "id" | "fence">): Settlement => ({
  id,
  fence,
  outcome: "failed",
  error: { message: "boom" },
});
const twice = { attempts: 2, backoff: { kind: "fixed", delayMs: 0, maxDelayMs: 0 } } as const;

describe("settle", () => {
  test("records a result once, and answers a repeated call 'duplicate'", async ({ queue }) => {
    const { job, read } = await claimedJob(queue);
    expect(await queue.settle("forge", [success(job)])).toEqual([
      { id: job.id, fence: 1, answer: "accepted", state: "succeeded" },
    ]);
    expect(await queue.settle("forge", [failure(job)])).toMatchObject([{ answer: "duplicate" }]);
    expect(await read()).toMatchObject({
      state: "succeeded",
      result: { ok: true },
      ranOn: "forge",
    });
  });

  // Interleavings: all wait for the job's lock; the first writes its fence as settled.
  test("accepts one of eight settles of one claim", async ({ queue }) => {
    const { job } = await claimedJob(queue);
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        queue.settle("forge", [index % 2 === 0 ? success(job) : failure(job)]),
      ),
    );
    const said = answers.flat().map(({ answer }) => answer);
    expect(said.filter((answer) => answer === "accepted")).toHaveLength(1);
    expect(said.filter((answer) => answer === "duplicate")).toHaveLength(7);
  });

  test("puts a failed step back until its attempts are spent", async ({ queue }) => {
    const { job, session, read } = await claimedJob(queue, { retry: twice });
    expect(await queue.settle("forge", [failure(job)])).toMatchObject([
      { answer: "accepted", state: "waiting" },
    ]);
    expect(await read()).toMatchObject({ attempt: 1, error: { message: "boom" } });

    await offerAll(queue, "forge");
    const second = only(await claim(queue, session, { seq: 2 }));
    expect(second).toMatchObject({ fence: 2, attempt: 2 });
    expect(await queue.settle("forge", [failure(second)])).toMatchObject([{ state: "failed" }]);
  });

  test("fails at once what is not worth another attempt", async ({ queue }) => {
    const { job } = await claimedJob(queue, { retry: twice });
    expect(
      await queue.settle("forge", [{ ...job, outcome: "failed", error: "no", retryable: false }]),
    ).toMatchObject([{ answer: "accepted", state: "failed" }]);
  });

  test("waits between attempts: the backoff, or what the step asked for", async ({ queue }) => {
    const retry = {
      attempts: 3,
      backoff: { kind: "exponential", delayMs: 60_000, maxDelayMs: 90_000 },
    } as const;
    const { job, session, read } = await claimedJob(queue, { retry });
    await queue.settle("forge", [failure(job)]);
    const waitMs = (await read()).runAt.getTime() - Date.now();
    expect(waitMs).toBeGreaterThan(25_000);
    expect(waitMs).toBeLessThanOrEqual(60_000);
    expect(await queue.listWaiting()).toEqual([]);

    const other = await queue.startRun(makePlan([{ step: "only", retry }]));
    await offerAll(queue, "forge");
    const soon = only(await claim(queue, session, { seq: 2 }));
    await queue.settle("forge", [
      { ...soon, outcome: "failed", error: "later", delayMs: 3_600_000 },
    ]);
    const asked = only((await queue.getRun(other.runId)).jobs).runAt.getTime() - Date.now();
    expect(asked).toBeGreaterThan(3_500_000);
  });

  test("takes a released job back without spending the attempt", async ({ queue }) => {
    const { job, read } = await claimedJob(queue);
    await queue.settle("forge", [{ ...job, outcome: "released", reason: "forge is stopping" }]);
    expect(await read()).toMatchObject({
      state: "waiting",
      attempt: 0,
      crashRestarts: 0,
      waitingReason: { code: "released", summary: "forge is stopping" },
    });
  });

  test("gives a pinned job back to its own node", async ({ queue }) => {
    const { job, read } = await claimedJob(queue, { host: "forge" });
    await queue.settle("forge", [{ ...job, outcome: "released" }]);
    expect(await read()).toMatchObject({ state: "pending", targetHost: "forge" });
  });

  test("refuses what another node says about the job, and says nothing of it", async ({
    queue,
  }) => {
    const { job, read } = await claimedJob(queue);
    await sayHello(queue, "oracle");
    expect(await queue.settle("oracle", [success(job), success({ id: 999, fence: 1 })])).toEqual([
      { id: job.id, fence: 1, answer: "unknown", state: null },
      { id: 999, fence: 1, answer: "unknown", state: null },
    ]);
    expect(await read()).toMatchObject({ state: "running" });
  });

  test("turns a job that should be cancelled into a cancelled one when it fails", async ({
    queue,
    database,
  }) => {
    const { job, runId } = await claimedJob(queue, { retry: twice });
    await database.sql`update public.loom_job_queue set cancel_requested_at = now()`;
    expect(await queue.settle("forge", [failure(job)])).toMatchObject([{ state: "cancelled" }]);
    expect(await queue.getRun(runId)).toMatchObject({ status: "cancelled" });
  });

  test("leaves a job with its owner when the result is too large", async ({ queue }) => {
    const { job, read } = await claimedJob(queue);
    const large: Settlement = { ...job, outcome: "succeeded", result: "x".repeat(1_048_576) };
    expect(await queue.settle("forge", [large])).toMatchObject([{ answer: "too_large" }]);
    expect(await read()).toMatchObject({ state: "running" });
    expect(await queue.settle("forge", [success(job)])).toMatchObject([{ answer: "accepted" }]);
  });

  test("keeps every character of a result", async ({ queue }) => {
    const { job, read } = await claimedJob(queue);
    const result = { nul: "a\u0000b", half: "\ud800", deep: [[[["\\u0000"]]]], n: 1.5e-300 };
    expect(await queue.settle("forge", [{ ...job, outcome: "succeeded", result }])).toMatchObject([
      { answer: "accepted" },
    ]);
    expect(await read()).toMatchObject({ result });
  });

  test.for([
    { title: "no object", item: "7" },
    { title: "a missing fence", item: `{"id": 1, "outcome": "succeeded"}` },
    { title: "an unknown outcome", item: `{"id": 1, "fence": 1, "outcome": "perhaps"}` },
    {
      title: "a fence that is too long",
      item: `{"id": 1, "fence": 99999999999999, "outcome": "released"}`,
    },
    {
      title: "a result that is no string",
      item: `{"id": 1, "fence": 1, "outcome": "succeeded", "result": {}}`,
    },
    { title: "a NUL", item: `{"id": 1, "fence": 1, "outcome": "failed", "error": "a\\u0000b"}` },
    {
      title: "half a surrogate pair",
      item: `{"id": 1, "fence": 1, "outcome": "failed", "error": "\\ud83d"}`,
    },
  ])("does not let $title harm the rest of a batch", async ({ item }, { queue, database }) => {
    const { job, read } = await claimedJob(queue);
    const good = JSON.stringify({
      id: job.id,
      fence: job.fence,
      outcome: "succeeded",
      result: "1",
    });
    const [row] = await database.sql.unsafe<{ answer: { answer: string }[] }[]>(
      "select public.loom_settle_jobs('forge', $1::text::json) as answer",
      [`[${item}, ${good}]`],
    );
    expect(row?.answer.map(({ answer }) => answer)).toEqual(["invalid", "accepted"]);
    expect(await read()).toMatchObject({ state: "succeeded" });
  });
});
