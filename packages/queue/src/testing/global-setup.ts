import { type ClusterInfo, startCluster } from "@loom/local-db";
import type { TestProject } from "vitest/node";
import { migrationScript } from "../migrate.ts";
import { HOSTED_ROLES } from "./hosted/project.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** One for each worker. */
    clusters: ClusterInfo[];
  }
}

/**
 * A Postgres for each worker, with a migrated template for its databases. In one server an open
 * transaction of one worker's database would hold back the events of all others.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const schema = (await migrationScript()) + HOSTED_ROLES;
  const clusters = await Promise.all(
    Array.from({ length: project.config.maxWorkers }, () => startCluster({ schema })),
  );
  project.provide(
    "clusters",
    clusters.map(({ info }) => info),
  );
  return async () => {
    await Promise.all(clusters.map((cluster) => cluster.stop()));
  };
}
