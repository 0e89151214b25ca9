import { existsSync } from "node:fs";
import { mkdir, rm, symlink } from "node:fs/promises";
import path from "node:path";
import {
  type CodeStore,
  createCodeStore,
  createStackMapper,
  loadSigningKey,
  type SigningKey,
} from "@loom/code";
import type { WorkflowCode } from "@loom/worker";

/** The parts with which a program turns workflow files into bundles. */
export interface OwnCode {
  readonly key: SigningKey;
  readonly store: CodeStore;
  readonly code: WorkflowCode;
}

/**
 * Opens the bundles of a program that has workflow files of its own: a hub, or an agent that accepts no code.
 *
 * @param options.folder - Where the bundles are, beside the key unless that is elsewhere.
 * @param options.workflows - The folder of the workflow files: bundles find the native modules that are installed there.
 * @param options.keyFile - The file of the signing key, which is made where it is missing.
 * @throws SigningKeyError
 */
export async function openOwnCode({
  folder,
  workflows,
  keyFile,
}: {
  folder: string;
  workflows: string | undefined;
  keyFile: string;
}): Promise<OwnCode> {
  const key = await loadSigningKey(keyFile);
  await linkModules(folder, workflows);
  const store = createCodeStore({ folder, publicKey: key.publicKey });
  // An agent as one file has no bundler, and needs none while it accepts code.
  const { createBundler } = await import("@loom/code/bundle");
  return {
    key,
    store,
    code: { bundle: createBundler({ store, key }), toAuthor: createStackMapper(store.readMap) },
  };
}

/** Lets bundles find what is installed beside the files that they are made of, wherever these are now. */
async function linkModules(folder: string, workflows: string | undefined): Promise<void> {
  const link = path.join(folder, "node_modules");
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await rm(link, { force: true });
  const modules = workflows && nearestModules(path.resolve(workflows));
  if (!modules) return;
  await symlink(modules, link, "dir").catch((error: NodeJS.ErrnoException) => {
    // Another process of this user was quicker.
    if (error.code !== "EEXIST") throw error;
  });
}

function nearestModules(folder: string): string | undefined {
  const modules = path.join(folder, "node_modules");
  if (existsSync(modules)) return modules;
  const above = path.dirname(folder);
  return above === folder ? undefined : nearestModules(above);
}

/** The bundles of a hub, in its state folder. */
export const hubCode = (
  stateDir: string,
  { workflows, keyFile }: { workflows?: string | undefined; keyFile?: string | undefined } = {},
): Promise<OwnCode> =>
  openOwnCode({
    workflows,
    folder: path.join(stateDir, "code"),
    keyFile: keyFile ?? path.join(stateDir, "signing-key"),
  });

/** The bundles of an agent that runs only its own workflow files. */
export const agentCode = (
  stateDir: string,
  { workflows }: { workflows?: string | undefined } = {},
): Promise<OwnCode> =>
  openOwnCode({
    workflows,
    folder: path.join(stateDir, "own-code"),
    keyFile: path.join(stateDir, "own-code-key"),
  });
