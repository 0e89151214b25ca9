import type { HubContext } from "../hub-context.ts";

/** Keeps in the database whom the workflows of this hub notify (`notify`), while it leads. */
export interface NotifyLoop {
  /**
   * Writes it, unless it has been.
   *
   * @param epoch - The epoch of this hub's lead.
   * @returns After how many milliseconds to look again. It is due earlier when the workflows have changed.
   */
  round(epoch: number): Promise<number>;
}

const EVERY_MS = 60_000;
/** How long to wait while another hub leads. */
const RETRY_MS = 5_000;

export function createNotifyLoop({
  queue,
  planner,
  log,
}: Pick<HubContext, "queue" | "planner" | "log">): NotifyLoop {
  /** The lead and the revision of the workflows for which it was last written. */
  let synced = "";
  return {
    async round(epoch) {
      const current = `${epoch}/${planner.revision}`;
      if (synced === current) return EVERY_MS;
      const said = [...planner.workflows.values()].map(({ name, notify }) => ({
        workflow: name,
        notify,
      }));
      const { answer, missing } = await queue.syncNotify(said, epoch);
      if (answer === "deposed") return RETRY_MS;
      for (const { hook, workflows } of missing) {
        log.warn({ hook, workflows }, "workflows notify a hook that does not exist");
      }
      synced = current;
      return EVERY_MS;
    },
  };
}
