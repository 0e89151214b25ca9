// Shared by all processes that run authors' code: those of steps and those of planners.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { AnyWorkflow } from "@loom/workflow";

/**
 * Starts a thread that ends this process and its group when its parent is gone or it uses too much
 * memory, even while its code is in a loop that never yields.
 */
export function startWatchdog({ memoryMb }: { memoryMb: number }): Worker {
  const extension = path.extname(fileURLToPath(import.meta.url));
  const watchdog = new Worker(new URL(`./watchdog${extension}`, import.meta.url), {
    workerData: { memoryMb },
    execArgv: [],
  });
  watchdog.unref();
  return watchdog;
}

/** Options that say what this process runs and how small it is, or that two processes cannot have. */
const OWN =
  /^(-e|-p|-pe|--eval|--print|--input-type|--max-semi-space-size|--inspect[\w-]*|--test[\w-]*|--watch[\w-]*)(=|$)/;
/** Options whose value is the next argument. */
const WITH_VALUE = /^(-e|-p|-pe|--eval|--print|--input-type)$/;

/**
 * The options of Node that a process for authors' code inherits: how modules are found, but not what
 * to run. With `--eval`, it would run this program again, and so on without end.
 */
export function inheritedOptions(options: readonly string[] = process.execArgv): string[] {
  return options.filter(
    (option, index) => !OWN.test(option) && !WITH_VALUE.test(options[index - 1] ?? ""),
  );
}

/**
 * The workflows that a module exports under any name or in a list.
 *
 * @param exports - The module's namespace object.
 */
export const workflowsOf = (exports: object): AnyWorkflow[] => [
  ...new Set(Object.values(exports).flat().filter(isWorkflow)),
];

// By its shape, not its class: the file may import its own copy of @loom/workflow.
const isWorkflow = (value: unknown): value is AnyWorkflow =>
  typeof value === "object" &&
  value !== null &&
  "name" in value &&
  "version" in value &&
  "steps" in value &&
  Array.isArray(value.steps);
