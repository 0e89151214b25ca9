import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { AnyWorkflow } from "@loom/workflow";

export interface LoadedWorkflows {
  /** In the order of their files' names. */
  workflows: AnyWorkflow[];
  /** Files with something that could not be used, and what. The others count all the same. */
  problems: { file: string; problem: string }[];
}

/**
 * Imports the workflow files of a folder: `<name>.ts` (or `.js`, `.mjs`) and
 * `<folder>/workflow.ts`. Every exported workflow counts, whatever its export's name.
 *
 * @throws When the folder cannot be read.
 */
export async function loadWorkflows(folder: string): Promise<LoadedWorkflows> {
  const found = new Map<string, { workflow: AnyWorkflow; file: string }>();
  const problems: LoadedWorkflows["problems"] = [];
  for (const file of await workflowFiles(folder)) {
    try {
      const exports: Record<string, unknown> = await import(pathToFileURL(file).href);
      const workflows = Object.values(exports).filter(isWorkflow);
      if (workflows.length === 0) throw new Error("exports no workflow made by defineWorkflow");
      for (const workflow of workflows) {
        const other = found.get(workflow.name);
        if (!other) found.set(workflow.name, { workflow, file });
        // The same one may be exported again, by a file that lists them for example.
        else if (other.workflow !== workflow) {
          const problem = `workflow ${workflow.name} is defined in ${other.file} already`;
          problems.push({ file, problem });
        }
      }
    } catch (error) {
      problems.push({ file, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return { workflows: [...found.values()].map(({ workflow }) => workflow), problems };
}

// By its shape: the file may have imported a copy of @loom/workflow of its own.
const isWorkflow = (value: unknown): value is AnyWorkflow =>
  typeof value === "object" &&
  value !== null &&
  "name" in value &&
  "version" in value &&
  "steps" in value &&
  Array.isArray(value.steps);

const EXTENSIONS = [".ts", ".js", ".mjs"];

const isModule = (name: string): boolean =>
  EXTENSIONS.includes(path.extname(name)) && !/\.(test|test-d|d)\.\w+$/.test(name);

async function workflowFiles(folder: string): Promise<string[]> {
  const names = (await readdir(folder)).filter(
    (name) => !name.startsWith(".") && name !== "node_modules",
  );
  return names.sort().flatMap((name) => {
    const entry = path.resolve(folder, name);
    if (isModule(name)) return [entry];
    return EXTENSIONS.map((extension) => path.join(entry, `workflow${extension}`)).filter((file) =>
      existsSync(file),
    );
  });
}
