import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Queue } from "@loom/queue";
import { createHttpQueue, type HttpQueueOptions } from "@loom/queue/http";
import {
  cliSource,
  createResolver,
  firstOf,
  localApiSource,
  ownIdentity,
  type Resolver,
} from "@loom/tailscale-resolver";
import {
  findWorkflowFiles,
  homeFolder,
  keepIdentity,
  type Log,
  type MachineIdentity,
  type TailnetIdentity,
} from "@loom/worker";
import { z } from "zod";
import { EnvError, type Variables } from "./env.ts";

/**
 * Opens the queue of a Supabase project.
 *
 * @param options.key - Of the project: its secret key or, with a node's key, its publishable one.
 * @param options.nodeKey - Says which node the calls are for. Only an agent has one. It may change: see `HttpQueueOptions`.
 */
export const openQueue = (
  { url, key, nodeKey }: Pick<HttpQueueOptions, "url" | "key" | "nodeKey">,
  { onUnreadable }: Pick<HttpQueueOptions, "onUnreadable"> = {},
): Queue => createHttpQueue({ url, key, nodeKey, onUnreadable });

const tailnet = firstOf([localApiSource(), cliSource()]);

/**
 * Creates a resolver of nodes in the tailnet. A node rarely changes its address, so an answer is
 * used for 30 s.
 */
export const createNodeResolver = (): Resolver =>
  createResolver({ source: tailnet, ttlMs: 30_000 });

/** Returns this machine's name and id in the tailnet; undefined outside a tailnet. */
export const ownTailnetIdentity = (): Promise<TailnetIdentity | undefined> =>
  ownIdentity(tailnet).catch(() => undefined);

/**
 * Identifies the node of this machine: by the given name, else by its earlier name, else by its
 * name in the tailnet, else by its host name.
 *
 * @throws The system's error when the folder cannot be used.
 */
export const identifyMachine = (
  folder: string,
  { name, log }: { name: string | undefined; log: Log },
): Promise<MachineIdentity> => keepIdentity(folder, { name, tailnet: ownTailnetIdentity, log });

/**
 * Returns the folder for a program's state: `LOOM_STATE_DIR`, else one in `LOOM_DATA_DIR`, else the folder that
 * systemd created for it, else one in the user's own folder for state.
 *
 * @throws EnvError when the last is needed and the user has no home folder.
 */
export const stateDirOf = (variables: Variables, program: string): string =>
  variables.LOOM_STATE_DIR?.trim() ||
  (variables.LOOM_DATA_DIR?.trim() && path.resolve(variables.LOOM_DATA_DIR.trim(), "state")) ||
  variables.STATE_DIRECTORY?.split(":")[0] ||
  path.join(variables.XDG_STATE_HOME || path.join(home(), ".local/state"), program);

/**
 * The token of earlier starts in a file; a new random one the first time, readable by its owner only.
 *
 * @throws The system's error when the file cannot be used.
 */
export function keepToken(file: string): string {
  try {
    writeFileSync(file, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  return readFileSync(file, "utf8").trim();
}

function home(): string {
  const folder = homeFolder();
  if (folder !== undefined) return folder;
  throw new EnvError(
    `HOME is not set to a folder, and this user (uid ${process.getuid?.()}) is not in the list of users: set LOOM_STATE_DIR to a folder that it may write to`,
  );
}

/** The modules of the workflows that come with Loom; none where they are not installed. */
export function ownWorkflows(): string[] {
  try {
    return [import.meta.resolve("@loom/workflows")];
  } catch {
    return [];
  }
}

/**
 * Finds the modules of the workflow files in a folder.
 *
 * @throws EnvError when the folder cannot be read.
 */
export async function findFolderModules(folder: string | undefined): Promise<string[]> {
  if (!folder) return [];
  return await findWorkflowFiles(folder).catch((error: Error) => {
    throw new EnvError(`LOOM_WORKFLOWS_DIR cannot be read: ${error.message}`);
  });
}

const manifest = z.object({ version: z.string() });

/** Reads the version in a package's manifest. */
export const readVersion = (packageJson: URL): string =>
  manifest.parse(JSON.parse(readFileSync(packageJson, "utf8"))).version;
