// The program of a planner process. It imports workflow modules and calls their authors' code, one
// request at a time. It may hang or end at any moment; the process that started it handles both.
import { flushCompileCache } from "node:module";
import {
  ConditionError,
  evaluateStep,
  PlanError,
  parseApprovalInput,
  planRun,
  type StepFunction,
} from "@loom/scheduler";
import { type AnyWorkflow, InvalidInputError, type JsonValue, toManifest } from "@loom/workflow";
import { startWatchdog, workflowsOf } from "../step-process/code-process.ts";
import type {
  FromPlanner,
  ImportError,
  PlannerAnswer,
  PlannerProcessSettings,
  PlannerRequest,
  WorkflowCall,
} from "./messages.ts";

const MAX_MANIFESTS_BYTES = 4 * 1_048_576;

// Many calls inside a library may lie between the author's code and the one that threw.
Error.stackTraceLimit = 50;

// The compile cache is for this process only, not for programs that an author's code starts.
delete process.env.NODE_COMPILE_CACHE;

const settings = JSON.parse(process.argv[2] ?? "") as PlannerProcessSettings;
const send = process.send?.bind(process) ?? (() => process.exit(1));
// The channel is for this program only: an author's code must not send messages on it.
delete process.send;
const say = (message: FromPlanner) => void send(message);

startWatchdog(settings);

// A stray error belongs to no request and cannot change an answer.
const onStray = (error: unknown) => say({ type: "stray", message: String(error) });
process.on("uncaughtException", onStray);
process.on("unhandledRejection", onStray);
process.on("message", (request: PlannerRequest) => {
  void answer(request).then((answered) => {
    say({ ...answered, rssMb: process.memoryUsage.rss() / 1_048_576 });
    // Flushed now, because this process is killed and never exits by itself.
    if (request.type === "load") flushCompileCache();
  });
});

async function answer(request: PlannerRequest): Promise<PlannerAnswer> {
  try {
    switch (request.type) {
      case "load": {
        const manifests = JSON.stringify((await load(request.module)).map(toManifest));
        if (manifests.length <= MAX_MANIFESTS_BYTES) return { type: "loaded", manifests };
        throw new RangeError(
          `the descriptions of its workflows take ${manifests.length} bytes, which is too many`,
        );
      }
      case "plan":
        return plan(await load(request.module), request);
      case "decide":
        return decide(await load(request.module), request);
      case "parse":
        return parse(await load(request.module), request);
    }
  } catch (error) {
    return { type: "import_failed", error: toImportError(error) };
  }
}

async function load(module: string): Promise<AnyWorkflow[]> {
  calling({ step: null, function: "import" });
  return workflowsOf(await import(module));
}

const calling = (call: WorkflowCall) => say({ type: "calling", call });

function plan(
  workflows: readonly AnyWorkflow[],
  {
    workflow: name,
    version,
    externals,
    input,
    defaultHost,
  }: Extract<PlannerRequest, { type: "plan" }>,
): PlannerAnswer {
  try {
    const workflow = workflows.find((each) => each.name === name);
    if (!workflow)
      throw new PlanError("its file does not export it", { workflow: name, step: null });
    return {
      type: "planned",
      plan: planRun(workflow, {
        input: input === undefined ? undefined : (JSON.parse(input) as JsonValue),
        defaultHost,
        version,
        externals,
        onCall: calling,
      }),
    };
  } catch (error) {
    if (error instanceof InvalidInputError) {
      return { type: "invalid_input", workflow: error.workflow, issues: error.issues };
    }
    if (error instanceof PlanError) {
      const { workflow, step, problem } = error;
      return { type: "plan_failed", workflow, step, problem };
    }
    throw error;
  }
}

function decide(
  workflows: readonly AnyWorkflow[],
  { workflow: name, step, ...facts }: Extract<PlannerRequest, { type: "decide" }>,
): PlannerAnswer {
  try {
    const workflow = findWorkflow(workflows, { workflow: name, step });
    const onCall = (called: StepFunction) => calling({ step, function: called });
    return { type: "decided", evaluation: evaluateStep(workflow, step, facts, onCall) };
  } catch (error) {
    return toFailure(error, step);
  }
}

function parse(
  workflows: readonly AnyWorkflow[],
  { workflow: name, step, input }: Extract<PlannerRequest, { type: "parse" }>,
): PlannerAnswer {
  try {
    const workflow = findWorkflow(workflows, { workflow: name, step });
    calling({ step, function: "input" });
    return { type: "parsed", input: parseApprovalInput(workflow, step, input) };
  } catch (error) {
    if (error instanceof InvalidInputError) {
      return { type: "invalid_input", workflow: error.workflow, issues: error.issues };
    }
    return toFailure(error, step);
  }
}

function findWorkflow(
  workflows: readonly AnyWorkflow[],
  place: { workflow: string; step: string },
): AnyWorkflow {
  const workflow = workflows.find((each) => each.name === place.workflow);
  if (workflow) return workflow;
  const problem = "is not there: its file does not export it";
  throw new ConditionError(problem, { ...place, function: "when" });
}

function toFailure(error: unknown, step: string): PlannerAnswer {
  if (!(error instanceof ConditionError)) throw error;
  const { workflow, problem, function: called } = error;
  return { type: "condition_failed", workflow, step, function: called, problem };
}

function toImportError(error: unknown): ImportError {
  if (!(error instanceof Error)) return { message: String(error), code: undefined, stack: "" };
  const { message, code, stack } = error as NodeJS.ErrnoException;
  return { message, code: code === undefined ? undefined : String(code), stack: String(stack) };
}
