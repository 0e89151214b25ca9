import { QueueUnavailableError } from "@loom/queue";
import { describe, expect } from "vitest";
import { begin, deferred, inParts, oneStep, over, recordSettles, test } from "./fixtures.ts";

/** Calls, and loses the first answer that fits. */
function losingOnce<Args extends unknown[], Answer>(
  call: (...args: Args) => Promise<Answer>,
  fits: (answer: Answer) => boolean = () => true,
) {
  let lost = 0;
  const losing = async (...args: Args): Promise<Answer> => {
    const answer = await call(...args);
    if (lost > 0 || !fits(answer)) return answer;
    lost += 1;
    throw new QueueUnavailableError("call", "timeout", "no answer in time");
  };
  return { losing, lost: () => lost };
}

describe("run", () => {
  test("gets the same jobs once when a claim's answer was lost", async ({ queue, startWorker }) => {
    const ran: string[] = [];
    const workflow = oneStep(async ({ run }) => void ran.push(String(run.id)));
    const claim = losingOnce(
      queue.claim,
      (answer) => answer.session === "live" && answer.jobs.length > 0,
    );
    const { queue: recording, settled } = recordSettles(inParts({ ...queue, claim: claim.losing }));
    const first = await begin(queue, workflow);
    startWorker({ workflows: [workflow], queue: recording });
    expect(await over(queue, first)).toMatchObject({
      status: "succeeded",
      jobs: [{ attempt: 1, crashRestarts: 0 }],
    });
    expect(claim.lost()).toBe(1);
    const second = await begin(queue, workflow);
    expect(await over(queue, second)).toMatchObject({ status: "succeeded" });
    expect(ran).toEqual([first, second]);
    await expect.poll(() => settled.map(({ fence }) => fence)).toEqual([1, 1]);
  });

  // Interleavings: a claim was given up on and repeated, and the repeated one found nothing;
  // then the first one arrives, and its answer reaches nobody.
  test("gets the jobs of a claim that arrives late", async ({ queue, startWorker }) => {
    const workflow = oneStep(async () => {});
    let late: (() => Promise<unknown>) | undefined;
    const repeated = deferred();
    const { worker } = startWorker({
      workflows: [workflow],
      pollMs: 600_000,
      queue: inParts({
        ...queue,
        async claim(session, options) {
          if (!late) {
            late = () => queue.claim(session, options);
            throw new QueueUnavailableError("loom_exchange", "timeout", "no answer in time");
          }
          const answer = await queue.claim(session, options);
          repeated.resolve();
          return answer;
        },
      }),
    });
    await repeated.promise;
    const runId = await begin(queue, workflow);
    expect(await late?.()).toMatchObject({ jobs: [{ fence: 1 }] });
    worker.wake();
    expect(await over(queue, runId)).toMatchObject({
      status: "succeeded",
      jobs: [{ attempt: 1, crashRestarts: 0 }],
    });
  });

  test("records an outcome once when the settle's answer was lost", async ({
    queue,
    startWorker,
  }) => {
    const workflow = oneStep(
      async ({ attempt }) => {
        if (attempt === 1) throw new Error("boom");
      },
      { retry: { attempts: 2, backoff: "1ms" } },
    );
    const recorded = recordSettles(queue);
    const exchange = losingOnce(recorded.queue.exchange, ({ settled }) => settled.length > 0);
    const runId = await begin(queue, workflow);
    startWorker({ workflows: [workflow], queue: { ...recorded.queue, exchange: exchange.losing } });
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded", jobs: [{ attempt: 2 }] });
    await expect
      .poll(() => recorded.settled)
      .toEqual([
        { fence: 1, outcome: "failed", answer: "accepted" },
        { fence: 1, outcome: "failed", answer: "duplicate" },
        { fence: 2, outcome: "succeeded", answer: "accepted" },
      ]);
  });

  // Regression: a retry that came with the answer to its failure was declined, as if the old attempt still ran.
  test("runs a retry that comes in the call that settles the failure", async ({
    queue,
    database,
    startWorker,
  }) => {
    const workflow = oneStep(
      async ({ attempt }) => {
        if (attempt === 1) throw new Error("boom");
      },
      { retry: { attempts: 2, backoff: "1ms" } },
    );
    const { queue: recording, settled } = recordSettles({
      ...queue,
      async exchange(session, wishes) {
        const { settle, claim } = wishes;
        if (settle?.[0]?.outcome !== "failed") return queue.exchange(session, wishes);
        const answer = await queue.exchange(session, { ...wishes, claim: undefined });
        await expect
          .poll(() => database.sql`select from public.loom_ready where run_at <= clock_timestamp()`)
          .toHaveLength(1);
        return {
          ...answer,
          ...(await queue.exchange(session, { claim })),
          settled: answer.settled,
        };
      },
    });
    const runId = await begin(queue, workflow);
    startWorker({ workflows: [workflow], queue: recording });
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
    await expect.poll(() => settled.map(({ outcome }) => outcome)).toEqual(["failed", "succeeded"]);
  });

  test("has one session when the answer to its hello was lost", async ({ queue, startWorker }) => {
    const workflow = oneStep(async () => {});
    const hello = losingOnce(queue.hello);
    startWorker({ workflows: [workflow], queue: { ...queue, hello: hello.losing } });
    const runId = await begin(queue, workflow);
    expect(await over(queue, runId)).toMatchObject({ status: "succeeded" });
    expect(hello.lost()).toBe(1);
    expect(await queue.listNodes()).toMatchObject([{ epoch: 1 }]);
  });

  test("survives a restart of the database's API", async ({ queue, database, startWorker }) => {
    const started = deferred();
    const finish = deferred();
    const workflow = oneStep(async () => {
      started.resolve();
      await finish.promise;
    });
    const { lines } = startWorker({ workflows: [workflow] });
    const runId = await begin(queue, workflow);
    await started.promise;
    const restarted = database.restartPostgrest();
    await expect
      .poll(() => lines.map(({ message }) => message), { interval: 1 })
      .toContain("the database did not answer");
    finish.resolve();
    await restarted;
    expect(await over(queue, runId)).toMatchObject({
      status: "succeeded",
      jobs: [{ attempt: 1, crashRestarts: 0 }],
    });
    await expect
      .poll(() => lines.map(({ message }) => message))
      .toContain("the database answers again");
  });
});
