import { readdir } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import type { AnyWorkflow } from "@loom/workflow";

export interface LoadedWorkflows {
  workflows: AnyWorkflow[];
  /** Files that could not be used, each with what is wrong. The others count all the same. */
  problems: { file: string; problem: string }[];
}

/**
 * Imports the workflow files of a folder: `<name>.ts` (or `.js`, `.mjs`) and
 * `<folder>/workflow.ts`. Every exported workflow counts, whatever its export's name.
 */
export async function loadWorkflows(folder: string): Promise<LoadedWorkflows> {
  const found: LoadedWorkflows = { workflows: [], problems: [] };
  for (const file of await workflowFiles(folder)) {
    try {
      const exports: Record<string, unknown> = await import(pathToFileURL(file).href);
      const workflows = Object.values(exports).filter(isWorkflow);
      if (workflows.length === 0) throw new Error("exports no workflow made by defineWorkflow");
      for (const workflow of workflows) {
        if (found.workflows.includes(workflow)) continue;
        if (found.workflows.some(({ name }) => name === workflow.name)) {
          throw new Error(`defines workflow ${workflow.name}, which another file defines too`);
        }
        found.workflows.push(workflow);
      }
    } catch (error) {
      found.problems.push({
        file,
        problem: error instanceof Error ? error.message : String(error),
      });
    }
  }
  return found;
}

// By its shape: the file may have imported a copy of @loom/workflow of its own.
const isWorkflow = (value: unknown): value is AnyWorkflow =>
  typeof value === "object" &&
  value !== null &&
  "name" in value &&
  "version" in value &&
  "steps" in value &&
  Array.isArray(value.steps);

const isModule = (name: string): boolean =>
  /\.(ts|js|mjs)$/.test(name) && !/\.(test|d)\.\w+$/.test(name);

async function workflowFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  const files = await Promise.all(
    entries.map(async (entry) => {
      if (entry.isFile() && isModule(entry.name)) return [path.join(folder, entry.name)];
      if (!entry.isDirectory() || entry.name === "node_modules") return [];
      const names = await readdir(path.join(folder, entry.name));
      return names
        .filter((name) => isModule(name) && path.parse(name).name === "workflow")
        .map((name) => path.join(folder, entry.name, name));
    }),
  );
  return files
    .flat()
    .map((file) => path.resolve(file))
    .sort();
}
