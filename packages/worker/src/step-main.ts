// The program of a step's process: runs one step after the other, as it is told.
import path from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import type { AnyWorkflow, Step } from "@loom/workflow";
import { classify, decline } from "./classify.ts";
import { runStep } from "./run-step.ts";
import { createScrubber } from "./secrets.ts";
import {
  type AbortReason,
  endOfOutput,
  type FromStep,
  MARK_VARIABLE,
  type StepProcessSettings,
  type ToStep,
} from "./step-message.ts";
import { openTelemetry } from "./tracing.ts";
import { workflowsOf } from "./workflow-module.ts";

const settings = JSON.parse(process.argv[2] ?? "") as StepProcessSettings;
const send = process.send?.bind(process) ?? (() => process.exit(1));
// The channel is ours: what a step would send there is nobody's business.
delete process.send;

const say = (message: FromStep) => void send(message);

// One way out for both, so that what a step writes stays in order. What Node itself has to say
// when it ends still goes the other way.
const writeError = process.stderr.write.bind(process.stderr);
process.stderr.write = process.stdout.write.bind(process.stdout);
// A step may have closed them.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});

const watchdog = new Worker(
  new URL(`./watchdog${path.extname(fileURLToPath(import.meta.url))}`, import.meta.url),
  { workerData: { memoryMb: settings.memoryMb }, execArgv: [] },
);
watchdog.unref();

const environment = { ...process.env };
const folder = process.cwd();

const imported = import(settings.module);
// Whoever runs a step of it gets the error.
imported.catch(() => {});

let stop = new AbortController();
let current: { mark: string; scrub: (text: string) => string } | undefined;

process.on("message", (message: ToStep) => {
  if (message.type === "abort") stop.abort(toError(message.reason));
  else void run(message);
});

// Thrown where nobody catches it: by a timer or an event of the step's, or of an earlier one's.
process.on("uncaughtException", (error) => {
  if (!current) process.exit(1);
  const { mark, scrub } = current;
  void end(mark, { type: "ended", outcome: classify(error, scrub), isBroken: true });
});

async function run(order: Extract<ToStep, { type: "run" }>): Promise<void> {
  const { job, version, node, mark, secrets, commandGraceMs } = order;
  const { scrub } = createScrubber(secrets);
  stop = new AbortController();
  current = { mark, scrub };
  restore();
  // Every program that the step starts inherits it.
  process.env[MARK_VARIABLE] = mark;
  const { traceparent } = job;
  if (traceparent === null) delete process.env.TRACEPARENT;
  else process.env.TRACEPARENT = traceparent;
  const { workflow, step } = await find(job);
  if (workflow && version !== undefined && workflow.version !== version) {
    const reason = `${settings.module} was changed after the agent started: restart the agent`;
    return await end(mark, {
      type: "ended",
      outcome: decline(reason),
      isBroken: true,
    });
  }
  say({ type: "started" });
  const running = () =>
    runStep(step, job, {
      node,
      signal: stop.signal,
      commandGraceMs,
      write: (output) => void process.stdout.write(output),
      onProgress: (progress) => say({ type: "progress", progress }),
      onGroup(group, isAlive) {
        say({ type: "group", group, isAlive });
        watchdog.postMessage({ group, isAlive });
      },
      scrub,
    });
  const outcome = await (traceparent === null
    ? running()
    : (await openTelemetry()).within(traceparent, running));
  await end(mark, { type: "ended", outcome, isBroken: false });
}

async function end(mark: string, message: FromStep): Promise<void> {
  if (current?.mark !== mark) return;
  current = undefined;
  // When the agent has read these, it has read all of the step's output.
  await Promise.all([
    new Promise((resolve) => process.stdout.write(endOfOutput(mark), resolve)),
    new Promise((resolve) => writeError(endOfOutput(mark), resolve)),
  ]);
  say(message);
}

/** The step as the module has it; where it cannot be had, one that fails with the reason. */
async function find(job: {
  workflow: string;
  step: string;
}): Promise<{ workflow?: AnyWorkflow; step: Pick<Step, "run"> }> {
  try {
    const workflow = workflowsOf(await imported).find(({ name }) => name === job.workflow);
    const step = workflow?.steps.find(({ name }) => name === job.step);
    if (workflow && step) return { workflow, step };
    throw new Error(
      `${settings.module} has no step ${job.step} in workflow ${job.workflow} any more`,
    );
  } catch (error) {
    return { step: { run: () => Promise.reject(error) } };
  }
}

/** Undoes what an earlier step did to the process: a step finds it as the first one did. */
function restore(): void {
  for (const name of Object.keys(process.env)) {
    if (!(name in environment)) delete process.env[name];
  }
  Object.assign(process.env, environment);
  process.chdir(folder);
}

const toError = ({ name, code, message }: AbortReason): Error =>
  Object.assign(new Error(message), { name, code });
