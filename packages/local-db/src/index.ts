export { type Cluster, type ClusterInfo, startCluster } from "./cluster.ts";
export { defaultDataDir } from "./data-dir.ts";
export { type Database, openDatabase } from "./database.ts";
export {
  DataDirInUseError,
  DataDirUnreachableError,
  DataDirVersionError,
  PlatformError,
  ProcessStartError,
  SchemaError,
} from "./errors.ts";
export type { KeyClaims, SignKey } from "./keys.ts";
export { type LocalDb, type LocalDbOptions, type Stage, startLocalDb } from "./local-db.ts";
export {
  type ChildProcessHandle,
  type ProcessExit,
  type ProcessOptions,
  startProcess,
} from "./start-process.ts";
