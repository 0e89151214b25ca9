import { type ClusterInfo, startCluster } from "@loom/local-db";
import type { TestProject } from "vitest/node";
import { migrationScript } from "../migration-script.ts";

declare module "vitest" {
  export interface ProvidedContext {
    cluster: ClusterInfo;
  }
}

/** One Postgres for the whole run, with a migrated template that every worker clones. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const cluster = await startCluster({ schema: await migrationScript() });
  project.provide("cluster", cluster.info);
  return () => cluster.stop();
}
