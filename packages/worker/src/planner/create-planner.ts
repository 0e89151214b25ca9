import path from "node:path";
import { ConditionError, PlanError } from "@loom/scheduler";
import { InvalidInputError, type RunPlan, type WorkflowManifest } from "@loom/workflow";
import type { Log } from "../log.ts";
import { homeFolder } from "../machine.ts";
import { inheritedOptions } from "../step-process/code-process.ts";
import { type Planner, PlannerBusyError, type StepCode, WorkflowCodeError } from "./planner.ts";
import { createPlannerPool } from "./planner-pool.ts";
import type { Answered } from "./planner-process.ts";
import {
  createWorkflowSet,
  type PlannedModule,
  type WorkflowCode,
  type WorkflowFiles,
} from "./workflow-set.ts";

/** Workflow modules with large libraries use less than this, and a small machine has more. */
const MEMORY_MB = 512;
/** Even a small machine imports large libraries in less time. */
const IMPORT_MS = 10_000;
const CALL_MS = 1_000;

export interface PlannerOptions extends WorkflowFiles {
  /** Bundles the files. */
  code: WorkflowCode;
  /** The environment of the authors' code: `stepEnvironment(process.env)`. */
  env: Readonly<Record<string, string | undefined>>;
  log: Log;
  /** The memory that a process may use before it is ended. Default 512. */
  memoryMb?: number;
  /** How long the import of a module may take. Default 10 000. */
  importMs?: number;
  /** How long one call of an author's function may take. Default 1000. */
  callMs?: number;
  /**
   * A folder for Node's compiled code, which nobody else may write to. With it, processes start in a third of the
   * time.
   */
  compileCache?: string | undefined;
  /** Finds the module of another version than the current one. Default: there is none. */
  openVersion?: (step: StepCode) => Promise<string>;
  /** Node's options for the processes; default: this process's own. */
  execArgv?: readonly string[];
}

/** Returns this user's folder for `compileCache`; undefined for a user without a home folder. */
export function compileCacheOf(
  variables: Readonly<Record<string, string | undefined>>,
): string | undefined {
  const home = homeFolder();
  const folder = variables.XDG_CACHE_HOME || (home && path.join(home, ".cache"));
  return folder && path.join(folder, "loom");
}

/** A planner whose workflows are files. */
export interface FilePlanner extends Planner {
  /** The code of `workflows`, for `ownCode`. */
  readonly modules: ReadonlyMap<string, PlannedModule>;
  /** The source files of the workflows, including those of broken ones, because a change of any may matter. */
  readonly inputs: ReadonlySet<string>;
  /**
   * Bundles changed and new files, and forgets removed ones. A file that is broken now keeps its last good version and
   * is listed in `problems`.
   *
   * @param options.changed - Paths. Default: every file is bundled again.
   */
  reload(options: WorkflowFiles & { changed?: ReadonlySet<string> }): Promise<void>;
}

/**
 * Creates a planner that bundles workflow files and runs authors' code in its own processes. Whatever that code
 * does, this process goes on, and only the request that needed it fails.
 *
 * Each file is a bundle of its own, so one that is broken or never ends its import does not affect the others.
 */
export function createPlanner({
  modules,
  own = [],
  code,
  env,
  log,
  memoryMb = MEMORY_MB,
  importMs = IMPORT_MS,
  callMs = CALL_MS,
  compileCache,
  openVersion = noVersion,
  execArgv = inheritedOptions(),
}: PlannerOptions): FilePlanner {
  const pool = createPlannerPool({ memoryMb, importMs, callMs, compileCache, env, execArgv, log });
  const set = createWorkflowSet({ code, pool, log });
  const loaded = set.load({ modules, own });

  const moduleOf = async (job: StepCode): Promise<string> => {
    const current = set.modules.get(job.workflow);
    return current?.version === job.version ? current.url : await openVersion(job);
  };

  return {
    workflows: set.workflows,
    modules: set.modules,
    get problems() {
      return set.problems();
    },
    get revision() {
      return set.revision();
    },
    get loading() {
      return set.loading();
    },
    get inputs() {
      return set.inputs();
    },
    loaded,
    onChange: set.onChange,
    reload: set.load,

    async plan(name, { input, defaultHost } = {}) {
      const module = set.modules.get(name);
      if (!module) {
        throw new PlanError("it is not defined in any loaded file", { workflow: name, step: null });
      }
      const answer = await pool.ask(module.url, {
        type: "plan",
        module: module.url,
        workflow: name,
        version: module.version,
        externals: module.externals,
        input: toJson(name, input),
        defaultHost,
      });
      return toPlan(name, answer);
    },

    async decide({ input, results, payload, ...job }) {
      const { workflow, step } = job;
      const module = await moduleOf(job);
      const request = { type: "decide", module, workflow, step, input, results, payload } as const;
      const answer = await pool.ask(module, request);
      return answer.type === "decided" ? answer.evaluation : refuse(workflow, step, answer);
    },

    async parse({ input, ...job }) {
      const { workflow, step } = job;
      const module = await moduleOf(job);
      const answer = await pool.ask(module, { type: "parse", module, workflow, step, input });
      if (answer.type === "parsed") return answer.input;
      if (answer.type !== "invalid_input") return refuse(workflow, step, answer);
      throw new InvalidInputError(answer.workflow, answer.issues);
    },

    close: () => pool.close(),
  };
}

const noVersion = ({ workflow, version }: { workflow: string; version: string }) =>
  Promise.reject(new Error(`this hub does not have version ${version} of workflow ${workflow}`));

/**
 * Reads the workflows of modules, for a program that plans no runs. It leaves no process running.
 */
export async function readWorkflows(
  options: PlannerOptions,
): Promise<Pick<FilePlanner, "modules" | "problems"> & { workflows: WorkflowManifest[] }> {
  const planner = createPlanner(options);
  await planner.loaded;
  await planner.close();
  const { workflows, modules, problems } = planner;
  return { workflows: [...workflows.values()], modules, problems };
}

function refuse(workflow: string, step: string, answer: Answered): never {
  if (answer.type === "condition_failed") throw new ConditionError(answer.problem, answer);
  if (answer.type === "import_failed") {
    const problem = `cannot be called, because its file cannot be imported: ${answer.error.message}`;
    throw new ConditionError(problem, { workflow, step, function: "when" });
  }
  throw toCodeError(workflow, answer);
}

function toPlan(workflow: string, answer: Answered): RunPlan {
  switch (answer.type) {
    case "planned":
      return answer.plan;
    case "invalid_input":
      throw new InvalidInputError(answer.workflow, answer.issues);
    case "plan_failed":
      throw new PlanError(answer.problem, answer);
    case "import_failed": {
      const problem = `its file cannot be imported: ${answer.error.message}`;
      throw new PlanError(problem, { workflow, step: null });
    }
    default:
      throw toCodeError(workflow, answer);
  }
}

/** The error of an answer that no code gave. */
function toCodeError(workflow: string, answer: Answered): Error {
  if (answer.type !== "timed_out" && answer.type !== "ended") {
    return new Error(`a request was answered with ${answer.type}`);
  }
  const { call } = answer;
  if (call === null) return new PlannerBusyError("no process for workflows' code could start");
  if (answer.type === "ended") {
    const problem = `ended its process, ${answer.how}`;
    return new WorkflowCodeError("WORKFLOW_CODE_FAILED", problem, { workflow, call });
  }
  const problem = `did not answer within ${Math.ceil(answer.afterMs) / 1_000} s`;
  return new WorkflowCodeError("WORKFLOW_CODE_TIMED_OUT", problem, { workflow, call });
}

function toJson(workflow: string, input: unknown): string | undefined {
  try {
    return JSON.stringify(input);
  } catch (cause) {
    // For example, the value is nested too deeply for the stack.
    const message = `cannot be written as JSON: ${cause instanceof Error ? cause.message : cause}`;
    throw new InvalidInputError(workflow, [{ path: "", message }], { cause });
  }
}
