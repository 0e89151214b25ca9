import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const EXTENSIONS = [".ts", ".js", ".mjs"];

/**
 * Finds the workflow files of a folder: `<name>.ts` (or `.js`, `.mjs`) and `<folder>/workflow.ts`.
 *
 * @returns Their URLs, in the order of their names.
 * @throws The system's error when the folder cannot be read.
 */
export async function findWorkflowFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter(
    (name) => !name.startsWith(".") && name !== "node_modules",
  );
  return names.sort().flatMap((name) => {
    const entry = path.resolve(folder, name);
    const files = isModule(name)
      ? [entry]
      : EXTENSIONS.map((extension) => path.join(entry, `workflow${extension}`)).filter(existsSync);
    return files.map((file) => pathToFileURL(file).href);
  });
}

const isModule = (name: string): boolean =>
  EXTENSIONS.includes(path.extname(name)) && !/\.(test|test-d|d)\.\w+$/.test(name);

/** Returns the path of a module, or its specifier if it is not a file. */
export const fileOf = (module: string): string =>
  module.startsWith("file:") ? fileURLToPath(module) : module;
