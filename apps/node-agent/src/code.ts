import { readdirSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { createCodeStore } from "@loom/code";
import type { Queue } from "@loom/queue";
import { CODE_CAPABILITY, moduleCapability } from "@loom/scheduler";
import { createFetchedCode, type FetchedCode, fetchFromQueue, type Log } from "@loom/worker";
import type { Env } from "./env.ts";

/** The public key of the hub whose code this agent runs; undefined when it runs only its own files. */
export const hubKeyOf = ({ LOOM_CODE, LOOM_CODE_KEY }: Env): string | undefined =>
  LOOM_CODE === "local" ? undefined : LOOM_CODE_KEY;

/** Code that an agent fetches from its hub. */
export interface HubCode extends FetchedCode {
  /** That it accepts code, and the native modules that it has for it. */
  capabilities(): string[];
}

/**
 * Opens the code of the hub that this agent joined.
 *
 * Native modules are those of `node_modules` in the state folder, where a bundle finds them.
 */
export function openHubCode({
  publicKey,
  stateDir,
  queue,
  node,
  log,
  onFault,
}: {
  publicKey: string;
  stateDir: string;
  queue: Pick<Queue, "readCode">;
  node: string;
  log: Log;
  onFault: () => void;
}): HubCode {
  const { resolve } = createRequire(path.join(stateDir, "code", "any.mjs"));
  const code = createFetchedCode({
    store: createCodeStore({ folder: path.join(stateDir, "hub-code"), publicKey }),
    fetch: fetchFromQueue({ queue, node, publicKey }),
    hasModule(name) {
      try {
        resolve(name);
        return true;
      } catch {
        return false;
      }
    },
    log: log.child({ part: "code" }),
    onFault,
  });
  return {
    ...code,
    capabilities: () => [CODE_CAPABILITY, ...installedIn(stateDir).map(moduleCapability)],
  };
}

/** The packages of a folder's `node_modules`, those with a scope included. */
function installedIn(folder: string): string[] {
  const namesIn = (place: string): string[] => {
    try {
      return readdirSync(path.join(folder, "node_modules", place)).filter(
        (name) => !name.startsWith("."),
      );
    } catch {
      return [];
    }
  };
  return namesIn(".").flatMap((name) =>
    name.startsWith("@") ? namesIn(name).map((inner) => `${name}/${inner}`) : [name],
  );
}
