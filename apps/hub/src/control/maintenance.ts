import type { HubContext } from "../hub-context.ts";

/** Keeps the tables small. */
export interface Maintenance {
  /** Removes what finished long ago, batch by batch: runs as their workflow says. */
  prune(): Promise<void>;
}

/** Creates the maintenance of a queue. Any number of hubs may run it. */
export function createMaintenance({
  queue,
  log,
  planner,
  retentionDays = 30,
}: Pick<HubContext, "queue" | "log"> & {
  planner?: Pick<HubContext["planner"], "workflows">;
} & Partial<Pick<HubContext, "retentionDays">>): Maintenance {
  return {
    async prune() {
      const known = [...(planner?.workflows.values() ?? [])];
      const retention = known.map(({ name, retention }) => ({ workflow: name, retention }));
      for (let isFirst = true; ; isFirst = false) {
        const { more, ...removed } = await queue.prune({
          keepDays: retentionDays,
          ...(isFirst && { retention }),
        });
        if (Object.values(removed).some((count) => count > 0)) log.info(removed, "pruned");
        if (!more) return;
      }
    },
  };
}
