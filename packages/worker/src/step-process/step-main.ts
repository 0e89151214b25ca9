// The program of a step's process. It runs one step after the other.
import { AsyncLocalStorage } from "node:async_hooks";
import type { ExecOrder } from "../exec/gate.ts";
import { EXEC_MODULE, runCommand } from "../exec/run-command.ts";
import type { FileReply, FileWish } from "../files/step-files.ts";
import { classify } from "../outcome.ts";
import { openTelemetry } from "../tracing.ts";
import { startWatchdog, workflowsOf } from "./code-process.ts";
import {
  type AbortReason,
  endOfOutput,
  type FromStep,
  MARK_VARIABLE,
  type StepProcessSettings,
  type ToStep,
} from "./messages.ts";
import { type RunnableStep, runStep, type Surroundings } from "./run-step.ts";
import { createScrubber } from "./secrets.ts";
import { becomeSubreaper } from "./subreaper.ts";
import { leftBehind, takeTraces } from "./traces.ts";

const settings = JSON.parse(process.argv[2] ?? "") as StepProcessSettings;
const send = process.send?.bind(process) ?? (() => process.exit(1));
// The channel is for this program only, not for the step.
delete process.send;

const say = (message: FromStep) => void send(message);

/** A step under way. Anything that it starts belongs to it, however much later it runs. */
interface Current {
  mark: string;
  scrub: (text: string) => string;
}
const steps = new AsyncLocalStorage<Current>();
let current: Current | undefined;
/** Code of an ended step has run again, so this process must not run another step. */
let isHaunted = false;

function isOfFinishedStep(): boolean {
  const owner = steps.getStore();
  const isFinished = owner !== undefined && owner !== current;
  isHaunted ||= isFinished;
  return isFinished;
}

// Both streams write to stdout, so that a step's output stays in order. Node's own last message still
// goes to stderr.
const writeError = process.stderr.write.bind(process.stderr);
const writeOutput = process.stdout.write.bind(process.stdout);
// The output of an ended step belongs in no log.
const write = (...args: Parameters<typeof writeOutput>) =>
  isOfFinishedStep() || writeOutput(...args);
process.stdout.write = write as typeof process.stdout.write;
process.stderr.write = write as typeof process.stderr.write;
// A step may have closed them.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});

const watchdog = startWatchdog(settings);
// The agent is gone, and nothing else may keep this process alive until the watchdog has ended everything.
process.once("disconnect", () => watchdog.ref());

say({ type: "ready" });
const isFile = settings.module !== null && settings.module !== EXEC_MODULE;
const imported = isFile ? import(settings.module ?? "") : Promise.resolve({});
// The step that needs the module gets the error.
imported.catch(() => {});

let stop = new AbortController();

/** The checkpoints that the agent has not answered, by number. */
const storing = new Map<number, PromiseWithResolvers<void>>();
let checkpoints = 0;

function saveCheckpoint(json: string): Promise<void> {
  checkpoints += 1;
  const stored = Promise.withResolvers<void>();
  storing.set(checkpoints, stored);
  say({ type: "checkpoint", number: checkpoints, json });
  return stored.promise;
}

process.on("message", (message: ToStep) => {
  if (message.type === "abort") stop.abort(toError(message.reason));
  else if (message.type === "file") answerWish(message.wish, message.reply);
  else if (message.type === "checkpointed") {
    const { number, error } = message;
    const stored = storing.get(number);
    storing.delete(number);
    if (error) stored?.reject(toError(error));
    else stored?.resolve();
  } else void run(message);
});

// Thrown outside the step's control flow, by a timer or an event.
process.on("uncaughtException", (error) => {
  // First, because the next order may be on its way to a process that is between two steps.
  if (isOfFinishedStep()) return;
  if (!current) process.exit(1);
  const outcome = classify(error, current.scrub);
  void end(current, { type: "ended", outcome, unclean: "it threw where nobody caught it" });
});

async function run(order: Extract<ToStep, { type: "run" }>): Promise<void> {
  const { job, node, mark, cgroup, secrets, commandGraceMs, filesFolder } = order;
  const { scrub } = createScrubber(secrets);
  stop = new AbortController();
  const self: Current = { mark, scrub };
  current = self;
  // Every program that the step starts inherits it.
  process.env[MARK_VARIABLE] = mark;
  const { traceparent } = job;
  if (traceparent === null) delete process.env.TRACEPARENT;
  else process.env.TRACEPARENT = traceparent;
  const isCommand = settings.module === EXEC_MODULE;
  const { step, problem } = isCommand ? {} : await find(job);
  const tracing = traceparent === null ? undefined : await openTelemetry();
  watchdog.postMessage({ cgroup });
  // Without a control group, what descends from this process is known by its ancestors.
  if (cgroup === null) becomeSubreaper();
  const before = takeTraces(cgroup);
  say({ type: "started" });
  const running = () => {
    const surroundings: Surroundings = {
      node,
      signal: stop.signal,
      commandGraceMs,
      write: (output) => void process.stdout.write(output),
      onProgress: (progress) => say({ type: "progress", progress }),
      saveCheckpoint,
      onGroup(group, isAlive) {
        say({ type: "group", group, isAlive });
        watchdog.postMessage({ group, isAlive });
      },
      filesFolder,
      askForFile,
      scrub,
    };
    return step
      ? runStep(step, job, surroundings)
      : runCommand(job.input as unknown as ExecOrder, surroundings);
  };
  const outcome = await steps.run(self, () =>
    traceparent === null || !tracing ? running() : tracing.within(traceparent, running),
  );
  await end(self, {
    type: "ended",
    outcome,
    unclean: problem ?? (await leftBehind(before, cgroup)),
  });
}

/** Wishes for files that have no reply yet. */
const wishes = new Map<number, (reply: FileReply) => void>();
let lastWish = 0;

function askForFile(ask: FileWish): Promise<FileReply> {
  lastWish += 1;
  const wish = lastWish;
  return new Promise((resolve) => {
    wishes.set(wish, resolve);
    say({ type: "file", wish, ask });
  });
}

function answerWish(wish: number, reply: FileReply): void {
  wishes.get(wish)?.(reply);
  wishes.delete(wish);
}

async function end(step: Current, message: Extract<FromStep, { type: "ended" }>): Promise<void> {
  if (current !== step) return;
  current = undefined;
  const { mark } = step;
  // When the agent has read these, it has read all of the step's output.
  await Promise.all([
    new Promise((resolve) => writeOutput(endOfOutput(mark), resolve)),
    new Promise((resolve) => writeError(endOfOutput(mark), resolve)),
  ]);
  const haunted = isHaunted ? "code of an earlier step has run in it" : null;
  say({ ...message, unclean: message.unclean ?? haunted });
}

/**
 * Finds the step in the module. If it cannot be found, returns a step that fails with the reason. The
 * reason may not hold in another process, so this one is not used again.
 */
async function find(job: {
  workflow: string;
  step: string;
}): Promise<{ step: RunnableStep; problem?: string }> {
  try {
    const workflow = workflowsOf(await imported).find(({ name }) => name === job.workflow);
    const step = workflow?.steps.find(({ name }) => name === job.step);
    if (step) return { step };
    throw new Error(`${settings.module} has no step ${job.step} in workflow ${job.workflow}`);
  } catch (error) {
    return { step: { run: () => Promise.reject(error) }, problem: "its module cannot be used" };
  }
}

const toError = ({ name, code, message }: AbortReason): Error =>
  Object.assign(new Error(message), { name, code });
