import { describe, expect } from "vitest";
import { claim, offerAll, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";

const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

export function traceparentContract(test: QueueTest): void {
  describe("a traceparent", () => {
    test("reaches the hub that places and the node that runs a step or a job", async ({
      queue,
    }) => {
      await queue.startRun(makePlan([{ step: "a" }, { step: "b", host: "forge" }]), {
        traceparent,
      });
      await queue.enqueue([makeJob({ traceparent }), makeJob({ step: "untraced" })]);
      const waiting = await queue.listWaiting();
      expect(waiting.map((job) => [job.step, job.traceparent])).toEqual([
        ["a", traceparent],
        ["only", traceparent],
        ["untraced", null],
      ]);
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      const claimed = await claim(queue, session);
      expect(new Map(claimed.map((job) => [job.step, job.traceparent]))).toEqual(
        new Map([
          ["a", traceparent],
          ["b", traceparent],
          ["only", traceparent],
          ["untraced", null],
        ]),
      );
    });

    test("belongs to the caller that retries, not to the first one", async ({ queue }) => {
      const again = "00-4bf92f3577b34da6a3ce929d0e0e4737-00f067aa0ba902b8-01";
      const { runId } = await queue.startRun(makePlan([{ step: "a" }]), { traceparent });
      const [job] = await queue.enqueue([makeJob({ traceparent })]);
      await queue.cancelRun(runId);
      await queue.cancel([job?.id ?? 0]);
      await queue.retryRun(runId, { mode: "all", traceparent: again });
      await queue.redrive([job?.id ?? 0], { traceparent: again });
      await queue.retryRun(runId, { mode: "all" });
      const waiting = await queue.listWaiting();
      expect(waiting.map((one) => [one.step, one.traceparent])).toEqual([
        ["a", again],
        ["only", again],
        ["a", null],
      ]);
    });
  });
}
