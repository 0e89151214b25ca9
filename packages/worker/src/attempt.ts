import type { ClaimedJob } from "@loom/queue";
import type { Step } from "@loom/workflow";
import type { Outcome } from "./classify.ts";
import { execute } from "./execute.ts";
import type { Declined } from "./find-step.ts";
import { type SettleDeps, settle } from "./settle.ts";

/** A declined job is not offered again before the node's report may have changed. */
const DECLINED_DELAY_MS = 5_000;

/**
 * One claimed job from its start to its outcome in the database: runs the step, or
 * gives the job back.
 *
 * Never fails. Resolves when the step's code has ended too: until then it takes a slot.
 */
export async function attempt(
  job: ClaimedJob,
  step: Step | Declined,
  { signal, onSettled, ...deps }: SettleDeps & { signal: AbortSignal; onSettled: () => void },
): Promise<void> {
  const { log, node } = deps;
  const record = (outcome: Outcome, then?: () => void) =>
    settle(job, outcome, deps)
      .then(then)
      .catch((error: unknown) => log.error({ err: error }, "attempt could not be settled"));

  if ("declined" in step) {
    const { declined: reason } = step;
    log.warn({ reason }, "job declined");
    await record({ outcome: "declined", reason, delayMs: DECLINED_DELAY_MS });
    return;
  }
  log.info({}, "step started");
  const { outcome, ended } = execute(job, step, { node, signal, log });
  await record(await outcome, onSettled);
  await ended;
}
