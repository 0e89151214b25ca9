import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const BUILD = fileURLToPath(new URL("../../apps/dashboard/build/main.ts", import.meta.url));

/** Builds the dashboard before the first test: two files at a time would build into one folder. */
export default async function setup(): Promise<void> {
  // In a process of its own: where Vitest runs a set-up, no module can ask where another one is.
  await promisify(execFile)(process.execPath, ["--conditions=@loom/source", BUILD]);
}
