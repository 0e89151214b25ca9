import { type ChildProcess, fork } from "node:child_process";
import { constants, setPriority } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import { fileURLToPath } from "node:url";
import type { FileReply, FileWish } from "../files/step-files.ts";
import { classify, type Outcome } from "../outcome.ts";
import { onceAborted, within } from "../wait.ts";
import { enclose } from "./cgroup.ts";
import {
  type AbortReason,
  endOfOutput,
  type FromStep,
  MARK_VARIABLE,
  type StepProcessSettings,
  type ToStep,
} from "./messages.ts";
import { toNodeFault } from "./node-fault.ts";
import {
  adoptOrphans,
  endDescendants,
  endGroup,
  endMarked,
  endStrays,
  exposeToOomKiller,
} from "./process-tree.ts";
import type { Progress } from "./run-step.ts";
import { createScrubber, type Scrubber } from "./secrets.ts";

/** How long to wait for the rest of the output when a step has ended. */
const LAST_OUTPUT_MS = 1_000;

/** A process that is not ready after this time is ended. */
const START_MS = 60_000;
/** How much of its output before it is ready is reported. */
const MAX_EARLY_LENGTH = 500;

const MAIN = fileURLToPath(
  new URL(`./step-main${path.extname(fileURLToPath(import.meta.url))}`, import.meta.url),
);

/** The step's process ended before the step did: it exited, crashed or was killed. */
export class StepProcessError extends Error {
  override readonly name = "StepProcessError";
  readonly code = "STEP_PROCESS_ENDED";
  readonly exitCode: number | null;
  readonly signal: string | null;
  constructor({ exitCode, signal }: { exitCode: number | null; signal: string | null }) {
    const how = signal === null ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
    super(`the step's process ${how} before the step did; its log may say why`);
    this.exitCode = exitCode;
    this.signal = signal;
  }
}

/** The step's process used more memory than it may. */
export class StepMemoryError extends Error {
  override readonly name = "StepMemoryError";
  readonly code = "STEP_OUT_OF_MEMORY";
  readonly memoryMb: number;
  constructor(memoryMb: number) {
    super(`the step's process used more than its limit of ${memoryMb} MiB of memory`);
    this.memoryMb = memoryMb;
  }
}

export interface StepProcessOptions extends StepProcessSettings {
  /** The path of its program. Default: this package's own file. */
  main: string | undefined;
  env: Readonly<Record<string, string | undefined>>;
  execArgv: readonly string[];
  /** Its working directory. */
  folder: string;
  /** Whether it gets a control group where this user may create one. */
  cgroups: boolean;
}

/** A process that runs one step after the other. It leads its own process group. */
export interface StepProcess {
  /** Resolves when it has ended for any reason. */
  readonly exited: Promise<void>;
  /** Runs a step. `unclean` says why the process cannot run another one. Never fails. */
  run(
    order: Omit<Extract<ToStep, { type: "run" }>, "type" | "cgroup">,
    hooks: {
      write: (text: string) => void;
      onStarted: () => void;
      onProgress: (progress: Progress) => void;
      onCheckpoint: (json: string) => Promise<void>;
      /** Never fails. */
      askForFile: (wish: FileWish) => Promise<FileReply>;
    },
  ): Promise<{ outcome: Outcome; unclean: string | null }>;
  /** Aborts the signal of the running step. */
  abort(reason: AbortReason): void;
  /** Ends it and everything that its step started. Resolves when nothing is left. */
  end(): Promise<void>;
  /** An idle process does not keep the agent alive. */
  setIdle(isIdle: boolean): void;
}

/**
 * Starts a process and waits until it is ready for its first step.
 *
 * @throws NodeFaultError when this machine cannot start one. No step is to blame for that.
 * @throws The signal's reason.
 */
export async function startStepProcess(
  options: StepProcessOptions,
  { signal }: { signal: AbortSignal },
): Promise<StepProcess> {
  signal.throwIfAborted();
  const { folder } = options;
  let child: ChildProcess;
  try {
    child = forkChild(options);
  } catch (cause) {
    throw toNodeFault(cause as Error, { folder });
  }
  const failed = new Promise<Error>((resolve) => child.once("error", resolve));
  // For example, a message to a process that is about to end.
  child.on("error", () => {});
  // A child without a number may have no streams either.
  if (child.pid === undefined) throw toNodeFault(await failed, { folder });
  const stepProcess = attach(child, { ...options, pid: child.pid });
  const early = readEarly(child);
  let isReady = false;
  const ready = stepProcess.ready.then(() => {
    isReady = true;
  });
  await within(START_MS, Promise.race([ready, stepProcess.exited, onceAborted(signal)]));
  if (isReady) {
    early.stop();
    return stepProcess;
  }
  await stepProcess.end();
  signal.throwIfAborted();
  const said = early.text() || "nothing";
  const how = `a step's process did not start; its output: ${said}`;
  throw toNodeFault(new Error(how), { folder });
}

/** Reads what Node writes before the process is ready, which says why it does not start. */
function readEarly({ stderr }: ChildProcess): { text(): string; stop(): void } {
  let text = "";
  const onData = (chunk: Buffer) => {
    text = (text + chunk.toString()).slice(0, MAX_EARLY_LENGTH);
  };
  stderr?.on("data", onData);
  return {
    text: () => text.trim(),
    stop: () => void stderr?.off("data", onData),
  };
}

function forkChild({
  main = MAIN,
  module,
  memoryMb,
  env,
  execArgv,
  folder,
}: StepProcessOptions): ChildProcess {
  const settings: StepProcessSettings = { module, memoryMb };
  return fork(main, [JSON.stringify(settings)], {
    detached: true,
    // By its name: when the folder is removed and created again, steps start in the new one.
    cwd: folder,
    env: { ...env },
    // The watchdog is stricter and reports the reason. This limit is for when it gets no time.
    execArgv: [...execArgv, `--max-old-space-size=${2 * memoryMb}`],
    stdio: ["ignore", "pipe", "pipe", "ipc", "pipe"],
  });
}

function attach(
  child: ChildProcess,
  { pid, memoryMb, cgroups }: StepProcessOptions & { pid: number },
): StepProcess & { ready: Promise<void> } {
  // Started programs inherit both.
  yieldToOthers(pid);
  child.once("exit", exposeToOomKiller(pid));
  // The process cannot have started anything yet.
  const cgroup = cgroups ? enclose(pid) : undefined;
  // Without a group, the orphans of a process that crashes become children of this one.
  if (!cgroup) adoptOrphans();
  const [, stdout, stderr, , lifeline] = child.stdio as [null, Readable, Readable, null, Readable];
  const groups = new Set<number>();
  const exited = new Promise<{ exitCode: number | null; signal: string | null }>((resolve) => {
    child.once("exit", (exitCode, signal) => resolve({ exitCode, signal }));
  });
  const ready = Promise.withResolvers<void>();
  const outputsClosed = Promise.all([closed(stdout), closed(stderr)]);
  const lifelineClosed = closed(lifeline);
  const disconnected = new Promise<void>((resolve) => child.once("disconnect", () => resolve()));
  let mark = "";
  let isOverMemory = false;
  let onMessage = (_: FromStep) => {};
  let ending: Promise<void> | undefined;

  child.on("message", (message: FromStep) => {
    if (message.type === "group") {
      if (message.isAlive) groups.add(message.group);
      else groups.delete(message.group);
    } else if (message.type === "ready") ready.resolve();
    else onMessage(message);
  });
  lifeline.on("error", () => {});
  lifeline.once("data", () => {
    isOverMemory = true;
  });
  const end = async () => {
    const isOver = child.exitCode !== null || child.signalCode !== null;
    // While it exists, its descendants can be identified.
    if (!cgroup && !isOver) await endDescendants(pid);
    await endGroup(pid, 0);
    await exited;
    // All its messages about commands have been read now.
    await within(LAST_OUTPUT_MS, disconnected);
    await Promise.all([...groups].map((group) => endGroup(group, 0)));
    // Processes that have left their groups: all of them where there is a control group, elsewhere
    // those that are children of this process now or carry the mark.
    await (cgroup ? cgroup.end() : endStrays());
    if (mark !== "") await endMarked(`${MARK_VARIABLE}=${mark}`);
    for (const stream of [stdout, stderr, lifeline]) stream.destroy();
  };
  const say = (message: ToStep) => void child.send(message, () => {});

  return {
    exited: exited.then(() => {}),
    ready: ready.promise,

    async run(order, { write, onStarted, onProgress, onCheckpoint, askForFile }) {
      mark = order.mark;
      const scrubber = createScrubber(order.secrets);
      const outputs = [stdout, stderr].map((stream) => {
        const output = readOutput({ mark, scrubber }, write);
        stream.on("data", output.push);
        return { stream, output };
      });
      const ended = new Promise<Extract<FromStep, { type: "ended" }>>((resolve) => {
        onMessage = (message) => {
          if (message.type === "ended") resolve(message);
          else if (message.type === "started") onStarted();
          else if (message.type === "progress") onProgress(message.progress);
          else if (message.type === "checkpoint") {
            const { number } = message;
            onCheckpoint(message.json).then(
              () => say({ type: "checkpointed", number, error: null }),
              ({ name, code, message: text }) =>
                say({ type: "checkpointed", number, error: { name, code, message: text } }),
            );
          } else if (message.type === "file") {
            const { wish, ask } = message;
            void askForFile(ask).then((reply) => say({ type: "file", wish, reply }));
          }
        };
      });
      say({ type: "run", cgroup: cgroup?.folder ?? null, ...order });
      const came = await Promise.race([ended, exited]);
      onMessage = () => {};

      let isRead = false;
      const allRead = Promise.all(outputs.map(({ output }) => output.ended)).then(() => {
        isRead = true;
      });
      await within(LAST_OUTPUT_MS, Promise.race([allRead, outputsClosed]));
      for (const { stream, output } of outputs) {
        stream.off("data", output.push);
        output.flush();
      }
      if ("type" in came) {
        const { outcome, unclean } = came;
        if (!isRead) return { outcome, unclean: unclean ?? "it closed its outputs" };
        const left = groups.size > 0 ? "one of its commands is still running" : null;
        return { outcome, unclean: unclean ?? left };
      }
      // The watchdog may have reported the reason before it ended the process.
      await within(LAST_OUTPUT_MS, lifelineClosed);
      const error = isOverMemory ? new StepMemoryError(memoryMb) : new StepProcessError(came);
      return { outcome: classify(error), unclean: error.message };
    },

    abort: (reason) => say({ type: "abort", reason }),

    end() {
      ending ??= end();
      return ending;
    },

    setIdle(isIdle) {
      const handles = [child, child.channel, stdout, stderr, lifeline] as const;
      for (const handle of handles as readonly Partial<NodeJS.RefCounted>[]) {
        if (isIdle) handle?.unref?.();
        else handle?.ref?.();
      }
      // Output of an idle process belongs to no step and must not fill the pipe.
      for (const stream of [stdout, stderr]) stream.resume();
    },
  };
}

/** Gives the agent and the machine's user priority over the step. */
function yieldToOthers(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended already.
  }
}

const closed = (stream: Readable): Promise<void> =>
  new Promise((resolve) => stream.once("close", () => resolve()));

/** One of the two outputs of a step's process, while a step runs. */
interface StepOutput {
  push(chunk: Buffer): void;
  /** Writes the text that was held back until more came. */
  flush(): void;
  /** Resolves at the mark that ends the step's output. */
  ended: Promise<void>;
}

/** Decodes and scrubs a step's output, and finds its end. */
function readOutput(
  { mark, scrubber }: { mark: string; scrubber: Scrubber },
  write: (text: string) => void,
): StepOutput {
  const end = endOfOutput(mark);
  const decoder = new StringDecoder("utf8");
  const scrubbed = scrubber.stream();
  const ended = Promise.withResolvers<void>();
  let held = "";

  const pass = (text: string) => {
    if (text !== "") write(text);
  };
  return {
    ended: ended.promise,
    push(chunk) {
      const text = held + decoder.write(chunk);
      held = "";
      const at = text.lastIndexOf("\0");
      const rest = at === -1 ? "" : text.slice(at);
      if (rest === "" || !end.startsWith(rest)) return pass(scrubbed.push(text));
      pass(scrubbed.push(text.slice(0, at)));
      if (rest === end) ended.resolve();
      else held = rest;
    },
    flush() {
      pass(scrubbed.push(held + decoder.end()) + scrubbed.end());
      held = "";
    },
  };
}
