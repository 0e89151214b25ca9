import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type CodeStore,
  createCodeStore,
  createStackMapper,
  loadSigningKey,
  type SigningKey,
} from "@loom/code";
import { createBundler } from "@loom/code/bundle";
import type { WorkflowCode } from "@loom/worker";
import { onTestFinished } from "vitest";

/** The text of a file that defines a workflow of one step. */
export const define = (name: string, options = "{}") =>
  `import { defineWorkflow } from "@loom/workflow";
export const workflow: unknown = defineWorkflow({ name: "${name}" }).step("only", ${options}, async () => {});\n`;

/** A folder with these files, inside the package so that their imports resolve. It is removed with the test. */
export async function folderOf(files: Record<string, string>): Promise<string> {
  const parent = path.resolve(import.meta.dirname, "../.loom");
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(path.join(parent, "workflows-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  return folder;
}

/** Bundles in a folder that is removed with the test. */
export async function codeOf(): Promise<{ code: WorkflowCode; store: CodeStore; key: SigningKey }> {
  const folder = await mkdtemp(path.join(tmpdir(), "loom-code-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const key = await loadSigningKey(path.join(folder, "key"));
  const store = createCodeStore({ folder: path.join(folder, "code"), publicKey: key.publicKey });
  const toAuthor = createStackMapper(store.readMap);
  return { code: { bundle: createBundler({ store, key }), toAuthor }, store, key };
}
