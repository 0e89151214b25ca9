export { ArchiveError, type ArchiveErrorCode } from "./archive-error.ts";
export { type Packed, pack } from "./pack.ts";
export { unpack } from "./unpack.ts";
