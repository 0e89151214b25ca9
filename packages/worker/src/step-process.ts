import { fork } from "node:child_process";
import { constants, setPriority } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { within } from "./abort.ts";
import { classify, type Outcome } from "./classify.ts";
import { StepMemoryError, StepProcessError } from "./errors.ts";
import { endGroup, endMarked } from "./process-group.ts";
import type { Progress } from "./run-step.ts";
import { createScrubber } from "./secrets.ts";
import {
  type AbortReason,
  type FromStep,
  MARK_VARIABLE,
  type StepProcessSettings,
  type ToStep,
} from "./step-message.ts";
import { readOutput } from "./step-output.ts";

/** How long to wait for the rest of a step's output when it has ended. */
const LAST_OUTPUT_MS = 1_000;

const MAIN = fileURLToPath(
  new URL(`./step-main${path.extname(fileURLToPath(import.meta.url))}`, import.meta.url),
);

export interface StepProcessOptions extends StepProcessSettings {
  env: Readonly<Record<string, string | undefined>>;
  execArgv: readonly string[];
}

/** A process that runs one step after the other. It leads a process group of its own. */
export interface StepProcess {
  /** Resolves when it has ended, whatever ended it. */
  readonly exited: Promise<void>;
  /** Runs a step. `isClean`: the process can run another one. Never fails. */
  run(
    order: Omit<Extract<ToStep, { type: "run" }>, "type">,
    hooks: {
      write: (text: string) => void;
      onStarted: () => void;
      onProgress: (progress: Progress) => void;
    },
  ): Promise<{ outcome: Outcome; isClean: boolean }>;
  /** Tells the running step. */
  abort(reason: AbortReason): void;
  /** Ends it with all that its step started. Resolves when nothing of it is left. */
  end(): Promise<void>;
  /** Whether it keeps the agent alive: not while it waits for work. */
  setIdle(isIdle: boolean): void;
}

export function startStepProcess({
  module,
  memoryMb,
  env,
  execArgv,
}: StepProcessOptions): StepProcess {
  const settings: StepProcessSettings = { module, memoryMb };
  const child = fork(MAIN, [JSON.stringify(settings)], {
    detached: true,
    env: { ...env },
    // The watchdog is stricter, and can say what happened. This is for when it does not come to look.
    execArgv: [...execArgv, `--max-old-space-size=${2 * memoryMb}`],
    stdio: ["ignore", "pipe", "pipe", "ipc", "pipe"],
  });
  // The agent goes first, and so does whoever sits at the machine. Started programs inherit it.
  if (child.pid !== undefined) setPriority(child.pid, constants.priority.PRIORITY_BELOW_NORMAL);
  const [, stdout, stderr, , lifeline] = child.stdio as [null, Readable, Readable, null, Readable];
  const groups = new Set<number>();
  const exited = new Promise<{ exitCode: number | null; signal: string | null }>((resolve) => {
    child.once("exit", (exitCode, signal) => resolve({ exitCode, signal }));
    child.once("error", () => {
      if (child.pid === undefined) resolve({ exitCode: null, signal: null });
    });
  });
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
    } else onMessage(message);
  });
  // A message to a process that is about to end.
  child.on("error", () => {});
  lifeline.on("error", () => {});
  lifeline.once("data", () => {
    isOverMemory = true;
  });
  const end = async () => {
    if (child.pid === undefined) return;
    await endGroup(child.pid, 0);
    await exited;
    // Now all is read that it said of its commands.
    await within(LAST_OUTPUT_MS, disconnected);
    await Promise.all([...groups].map((group) => endGroup(group, 0)));
    if (mark !== "") await endMarked(`${MARK_VARIABLE}=${mark}`);
    for (const stream of [stdout, stderr, lifeline]) stream.destroy();
  };
  const say = (message: ToStep) => void child.send(message, () => {});

  return {
    exited: exited.then(() => {}),

    async run(order, { write, onStarted, onProgress }) {
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
        };
      });
      say({ type: "run", ...order });
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
        return { outcome: came.outcome, isClean: !came.isBroken && isRead && groups.size === 0 };
      }
      // What the watchdog said before it ended the process.
      await within(LAST_OUTPUT_MS, lifelineClosed);
      const error = isOverMemory ? new StepMemoryError(memoryMb) : new StepProcessError(came);
      return { outcome: classify(error), isClean: false };
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
      // What an idle process writes belongs to no step, and must not fill the pipe.
      for (const stream of [stdout, stderr]) stream.resume();
    },
  };
}

const closed = (stream: Readable): Promise<void> =>
  new Promise((resolve) => stream.once("close", () => resolve()));
