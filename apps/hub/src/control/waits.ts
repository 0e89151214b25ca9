import type { HubContext } from "../hub-context.ts";

/** How long to wait at most. A round wakes the loop earlier when there is something to end. */
const REST_MS = 60_000;
/** How many calls a round makes; others want the database too. */
const CALLS = 20;

/** Ends what steps wait for that no node runs. */
export interface WaitLoop {
  /**
   * @param options.wasWoken - Whether a round found something to end.
   * @returns After how many milliseconds to run the next round.
   */
  round(epoch: number, options: { wasWoken: boolean }): Promise<number>;
}

/**
 * Creates the loop that ends sleeps and timeouts that are due, and gives signals to the steps that wait for them.
 *
 * Any number of hubs may do this at once, and one that is killed leaves nothing behind: each call is a transaction.
 */
export function createWaitLoop({
  queue,
  faults,
  onEnded = () => {},
}: Pick<HubContext, "faults"> & {
  queue: Pick<HubContext["queue"], "endWaits">;
  /** Called when waits were ended: steps after them may be there to place, or to suspend. */
  onEnded?: () => void;
}): WaitLoop {
  return {
    async round(_epoch, { wasWoken }) {
      for (let calls = 0; calls < CALLS; calls += 1) {
        const { ended, more, failed } = await queue.endWaits();
        for (const { job, signal, problem } of failed) {
          const subject = job === undefined ? `signal ${signal}` : `job ${job}`;
          faults.note({ loop: "wait", subject }, new Error(problem));
        }
        // Also without an end: a hub may have to check a signal now. A look that finds nothing leaves the hub at rest.
        if (wasWoken || ended > 0) onEnded();
        if (!more) return REST_MS;
        if (ended === 0 && failed.length > 0) return REST_MS;
      }
      return 0;
    },
  };
}
