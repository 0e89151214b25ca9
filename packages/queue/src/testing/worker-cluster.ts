/// <reference path="./global-setup.ts" />
import type { ClusterInfo } from "@loom/local-db";
import { inject } from "vitest";

/** The Postgres that the global set-up started for this worker. */
export function workerCluster(): ClusterInfo | undefined {
  const clusters: ClusterInfo[] | undefined = inject("clusters");
  return clusters?.[Number(process.env.VITEST_POOL_ID) - 1];
}

/** The same where the project has that set-up. */
export function requireWorkerCluster(): ClusterInfo {
  const cluster = workerCluster();
  if (!cluster) throw new Error("the global set-up of @loom/queue did not run");
  return cluster;
}
