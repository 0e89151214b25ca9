import { fork } from "node:child_process";
import path from "node:path";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { endGroup, exposeToOomKiller } from "../step-process/process-tree.ts";
import { within } from "../wait.ts";
import type {
  FromPlanner,
  PlannerAnswer,
  PlannerProcessSettings,
  PlannerRequest,
  WorkflowCall,
} from "./messages.ts";

/** How long all calls for one plan may take together. */
const PLAN_MS = 10_000;

/** The share of its memory above which a process imports nothing more. */
const FULL_SHARE = 0.5;

/** How much of a process's output is kept. */
const MAX_OUTPUT = 4_096;
const LAST_WORDS_MS = 1_000;

const MAIN = fileURLToPath(
  new URL(`./planner-main${path.extname(fileURLToPath(import.meta.url))}`, import.meta.url),
);

/** The result of a request. `call` is the author's code that ran; null when none had begun. */
export type Answered =
  | PlannerAnswer
  | { type: "timed_out"; call: WorkflowCall | null; afterMs: number }
  | { type: "ended"; call: WorkflowCall | null; how: string };

/** A process that runs workflow authors' code. It leads its own process group. */
export interface PlannerProcess {
  /** The modules that it has imported or begun to import. */
  readonly modules: ReadonlySet<string>;
  /** Whether it uses so much memory that it should import nothing more. */
  readonly isFull: boolean;
  /** Whether it has ended, or will end and takes no more requests. */
  readonly isOver: boolean;
  /** Sends one request at a time. Ends the process when it does not answer. Never fails. */
  ask(request: PlannerRequest): Promise<Answered>;
  /** Returns its output since the last call, at most 4 KiB. */
  takeOutput(): string;
  /** Ends it and everything that it started. */
  end(): Promise<void>;
}

export interface PlannerProcessOptions extends PlannerProcessSettings {
  env: Readonly<Record<string, string | undefined>>;
  execArgv: readonly string[];
  /** How long an import may take, including the start of a new process. */
  importMs: number;
  /** How long one call of an author's function may take. */
  callMs: number;
  compileCache: string | undefined;
  onStray: (message: string) => void;
}

export function startPlannerProcess({
  memoryMb,
  env,
  execArgv,
  importMs,
  callMs,
  compileCache,
  onStray,
}: PlannerProcessOptions): PlannerProcess {
  const settings: PlannerProcessSettings = { memoryMb };
  const child = fork(MAIN, [JSON.stringify(settings)], {
    detached: true,
    env: { ...env, NODE_COMPILE_CACHE: compileCache },
    // The watchdog is stricter and reports the reason. This limit is for when it gets no time.
    execArgv: [
      ...execArgv,
      "--disable-warning=ExperimentalWarning",
      `--max-old-space-size=${2 * memoryMb}`,
    ],
    stdio: ["ignore", "pipe", "pipe", "ipc", "pipe"],
  });
  if (child.pid !== undefined) child.once("exit", exposeToOomKiller(child.pid));
  const [, stdout, stderr, , lifeline] = child.stdio as [null, Readable, Readable, null, Readable];
  const modules = new Set<string>();
  let output = "";
  let isOver = false;
  let isFull = false;
  let isOverMemory = false;
  let ending: Promise<void> | undefined;
  let onMessage = (_: FromPlanner) => {};

  const exited = new Promise<string>((resolve) => {
    child.once("exit", (code, signal) => {
      resolve(signal === null ? `with exit code ${code}` : `by ${signal}`);
    });
    child.once("error", (error) => {
      if (child.pid === undefined) resolve(`before it began (${error.message})`);
    });
  });
  void exited.then(() => {
    isOver = true;
  });
  const lifelineClosed = new Promise<void>((resolve) => lifeline.once("close", () => resolve()));
  child.on("message", (message: FromPlanner) => {
    if (message.type === "stray") onStray(message.message);
    else onMessage(message);
  });
  // For example, a message to a process that is about to end.
  child.on("error", () => {});
  lifeline.on("error", () => {});
  lifeline.once("data", () => {
    isOverMemory = true;
  });
  for (const stream of [stdout, stderr]) {
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      output = `${output}${text}`.slice(-MAX_OUTPUT);
    });
  }

  /** Sets whether it keeps this process alive: it does not while it waits for requests. */
  const setIdle = (isIdle: boolean) => {
    const handles = [child, child.channel, stdout, stderr, lifeline] as const;
    for (const handle of handles as readonly Partial<NodeJS.RefCounted>[]) {
      if (isIdle) handle?.unref?.();
      else handle?.ref?.();
    }
  };

  const end = async () => {
    isOver = true;
    if (child.pid === undefined) return;
    setIdle(false);
    await endGroup(child.pid, 0);
    await exited;
    for (const stream of [stdout, stderr, lifeline]) stream.destroy();
  };
  const endOnce = () => {
    ending ??= end();
    return ending;
  };

  async function ask(request: PlannerRequest): Promise<Answered> {
    const isNew = modules.size === 0;
    modules.add(request.module);
    setIdle(false);
    const answered = Promise.withResolvers<Answered>();
    let call: WorkflowCall | null = null;
    let timer: NodeJS.Timeout | undefined;
    /** Restarts the timeout, because a message has arrived. */
    const wait = (ms: number) => {
      clearTimeout(timer);
      const heard = call;
      timer = setTimeout(() => {
        // Messages that arrived while this process was busy are read before the timeout counts.
        setImmediate(() => {
          if (call === heard) answered.resolve({ type: "timed_out", call, afterMs: ms });
        });
      }, ms);
    };
    let planBy: number | undefined;
    onMessage = (message) => {
      if (message.type === "calling") {
        call = message.call;
        if (call.function === "import") return wait(importMs);
        planBy ??= performance.now() + PLAN_MS;
        wait(Math.max(1, Math.min(callMs, planBy - performance.now())));
      } else if (message.type !== "stray") {
        isFull = message.rssMb > memoryMb * FULL_SHARE;
        answered.resolve(message);
      }
    };
    wait(isNew ? importMs : callMs);
    void exited.then(async (how) => {
      // The watchdog may have reported the reason before it ended the process.
      await within(LAST_WORDS_MS, lifelineClosed);
      const memory = `by Loom: it used more than ${memoryMb} MiB of memory`;
      answered.resolve({ type: "ended", call, how: isOverMemory ? memory : how });
    });
    child.send(request, () => {});
    const answer = await answered.promise;
    clearTimeout(timer);
    onMessage = () => {};
    if (answer.type === "timed_out" || answer.type === "ended") await endOnce();
    else setIdle(true);
    return answer;
  }

  return {
    modules,
    get isFull() {
      return isFull;
    },
    get isOver() {
      return isOver;
    },
    ask,
    takeOutput() {
      const taken = output;
      output = "";
      return taken;
    },
    end: endOnce,
  };
}
