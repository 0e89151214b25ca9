import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { AnyWorkflow } from "@loom/workflow";
import { workflowsOf } from "./workflow-module.ts";

/** Where a workflow's code is. */
export interface WorkflowModule {
  url: string;
  /** The workflow's version: other code is not run in its place. Left out, it is not compared. */
  version?: string;
}

export interface LoadedWorkflows {
  /** In the order of their files' names. */
  workflows: AnyWorkflow[];
  /** By the workflow's name. */
  modules: ReadonlyMap<string, WorkflowModule>;
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
  const files = await workflowFiles(folder);
  return importWorkflows(files.map((file) => pathToFileURL(file).href));
}

/** Imports modules that export workflows, alone or in lists, such as `import.meta.resolve("@loom/workflows")`. */
export async function importWorkflows(modules: readonly string[]): Promise<LoadedWorkflows> {
  const found = new Map<string, { workflow: AnyWorkflow; module: string }>();
  const problems: LoadedWorkflows["problems"] = [];
  for (const module of modules) {
    const file = module.startsWith("file:") ? fileURLToPath(module) : module;
    try {
      const workflows = workflowsOf(await import(module));
      if (workflows.length === 0) throw new Error("exports no workflow made by defineWorkflow");
      for (const workflow of workflows) {
        const other = found.get(workflow.name);
        if (!other) found.set(workflow.name, { workflow, module });
        // The same one may be exported again, by a file that lists them for example.
        else if (other.workflow !== workflow) {
          const problem = `workflow ${workflow.name} is defined in ${fileURLToPath(other.module)} already`;
          problems.push({ file, problem });
        }
      }
    } catch (error) {
      problems.push({ file, problem: error instanceof Error ? error.message : String(error) });
    }
  }
  return {
    workflows: [...found.values()].map(({ workflow }) => workflow),
    modules: new Map(
      [...found].map(([name, { workflow, module }]) => [
        name,
        { url: module, version: workflow.version },
      ]),
    ),
    problems,
  };
}

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
