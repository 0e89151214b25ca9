import { readFileSync } from "node:fs";
import { z } from "zod";

// The same place seen from src/ and from dist/.
const MANIFEST = new URL("../package.json", import.meta.url);

/** The version of this package: what the hub's node reports, and what the API's description says. */
export const { version } = z
  .object({ version: z.string() })
  .parse(JSON.parse(readFileSync(MANIFEST, "utf8")));
