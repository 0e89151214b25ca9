export { digestOf, writeArchive } from "./archive.ts";
export { type Dump, dumpDatabase } from "./dump.ts";
export { BackupError, describeCause } from "./errors.ts";
export { checkBackup, loadDatabase } from "./load.ts";
export { MANIFEST, type Manifest } from "./manifest.ts";
export { packTar } from "./tar.ts";
