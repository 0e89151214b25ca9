import { readVersion } from "@loom/program";

/** The version of this package: the node reports it as its agent's. */
export const version = readVersion(new URL("../package.json", import.meta.url));
