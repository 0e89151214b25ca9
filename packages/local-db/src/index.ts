export { type Cluster, type ClusterInfo, startCluster } from "./cluster.ts";
export { defaultDataDir } from "./data-dir.ts";
export { copyDatabase, type Database, type DatabaseCopy, openDatabase } from "./database.ts";
export {
  DataDirInUseError,
  DataDirUnreachableError,
  DataDirVersionError,
  PlatformError,
  ProcessStartError,
  SchemaError,
} from "./errors.ts";
export {
  type LocalDb,
  type LocalDbOptions,
  type Restart,
  type Stage,
  startLocalDb,
} from "./local-db.ts";
export { connectToRunning } from "./postgres/cluster-lock.ts";
export { type KeepRunningOptions, type KeptProcess, keepRunning } from "./process/keep-running.ts";
export {
  type ChildProcessHandle,
  type ProcessExit,
  type ProcessOptions,
  startProcess,
} from "./process/start-process.ts";
export { type KeyClaims, SECRET_FILE, type SignKey, signRoleKey } from "./rest/keys.ts";
