import { readVersion } from "@loom/program";

/** The version of this package: reported by the hub's node and by the description of the API. */
export const version = readVersion(new URL("../package.json", import.meta.url));
