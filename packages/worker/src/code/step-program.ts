import { mkdir, rename, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { Log } from "../log.ts";

/**
 * Bundles the program of step processes if this package runs from its sources. As JavaScript, an idle process takes
 * less than half of the memory, because it has no TypeScript loader.
 *
 * @returns Its path; undefined if the program is JavaScript already or cannot be bundled.
 */
export async function bundleStepProgram(log: Log): Promise<string | undefined> {
  const here = fileURLToPath(import.meta.url);
  if (!here.endsWith(".ts")) return undefined;
  try {
    const { bundleProgram } = await import("@loom/code/bundle");
    const sources = path.join(path.dirname(here), "..", "step-process");
    const { files, digest } = await bundleProgram({
      entries: {
        "step-main": path.join(sources, "step-main.ts"),
        watchdog: path.join(sources, "watchdog.ts"),
      },
    });
    // A program in this folder finds this package's dependencies, such as a library for traces.
    const folder = path.join(path.dirname(here), "../../node_modules/.loom", digest);
    await mkdir(folder, { recursive: true });
    for (const [name, text] of files) {
      const beside = path.join(folder, `.${name}-${process.pid}`);
      await writeFile(beside, text);
      await rename(beside, path.join(folder, name));
    }
    return path.join(folder, "step-main.mjs");
  } catch (err) {
    log.debug({ err }, "steps run from the sources: their program could not be bundled");
    return undefined;
  }
}
