import { randomBytes } from "node:crypto";
import { decline, type Outcome } from "./classify.ts";
import type { WorkflowModule } from "./load-workflows.ts";
import { secretsOf } from "./secrets.ts";
import { type StepProcess, startStepProcess } from "./step-process.ts";
import type { StepRunner, StepTask } from "./step-runner.ts";

/** Of the time that a step has to end, this much is its commands': it can see them end. */
const COMMANDS_SHARE = 0.6;

export interface ProcessRunnerOptions {
  /** Where the workflows are, by name: as `loadWorkflows` gives them. */
  modules: ReadonlyMap<string, WorkflowModule>;
  /**
   * The environment of the steps. Values whose names say that they are secret are hidden in
   * logs and errors: see `secretsOf`.
   */
  env: Readonly<Record<string, string | undefined>>;
  /** What a step's own process may use, in MiB; the programs that it starts do not count. Default 1024. */
  memoryMb?: number;
  /** How long a step may take to end after its signal aborted, before it is ended. Default 5 000. */
  killAfterMs?: number;
  /** How long a process is kept for the next step of its module. Default 300 000. */
  idleMs?: number;
  /** Options of Node for the processes; default: this process's own. */
  execArgv?: readonly string[];
}

/**
 * Runs each step in a process: whatever it does, it can be ended, with all that it started.
 *
 * A process is kept for the next step of the same module, so that only the first one pays for
 * starting Node and importing the module. One whose step did not end by itself is not used again.
 */
export function createProcessRunner({
  modules,
  env,
  memoryMb = 1_024,
  killAfterMs = 5_000,
  idleMs = 300_000,
  execArgv = process.execArgv,
}: ProcessRunnerOptions): StepRunner {
  const secrets = secretsOf(env);
  const idle = new Map<string, Set<Idle>>();
  const busy = new Set<StepProcess>();

  function take(module: string): StepProcess {
    const [waiting] = idle.get(module) ?? [];
    if (!waiting) return startStepProcess({ module, memoryMb, env, execArgv });
    waiting.leave();
    return waiting.process;
  }

  function keep(module: string, stepProcess: StepProcess): void {
    const waiting = idle.get(module) ?? new Set();
    idle.set(module, waiting);
    const leave = () => {
      clearTimeout(timer);
      waiting.delete(entry);
      stepProcess.setIdle(false);
    };
    const timer = setTimeout(() => {
      leave();
      void stepProcess.end();
    }, idleMs).unref();
    const entry: Idle = { process: stepProcess, leave };
    waiting.add(entry);
    stepProcess.setIdle(true);
    void stepProcess.exited.then(() => {
      if (!waiting.has(entry)) return;
      leave();
      void stepProcess.end();
    });
  }

  async function run(
    { url, version }: WorkflowModule,
    { job, node, signal, write, onStarted, onProgress, log }: StepTask,
  ) {
    const stepProcess = take(url);
    busy.add(stepProcess);
    let timer: NodeJS.Timeout | undefined;
    const onAbort = () => {
      const { name, code, message } = signal.reason;
      stepProcess.abort({ name, code, message });
      timer = setTimeout(() => {
        log.warn({}, "step goes on after its abort: it is ended");
        void stepProcess.end();
      }, killAfterMs);
    };
    const mark = `${job.id}-${job.fence}-${randomBytes(6).toString("hex")}`;
    const commandGraceMs = killAfterMs * COMMANDS_SHARE;
    const order = { job, version, node, mark, secrets, commandGraceMs };
    const running = stepProcess.run(order, { write, onStarted, onProgress });
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    const { outcome, isClean } = await running;
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    // What the attempt came to is told when nothing of it is left.
    if (isClean && !signal.aborted) keep(url, stepProcess);
    else await stepProcess.end();
    busy.delete(stepProcess);
    return outcome;
  }

  return {
    start(task) {
      const { workflow } = task.job;
      const module = modules.get(workflow);
      const outcome: Promise<Outcome> = module
        ? run(module, task)
        : Promise.resolve(decline(`${task.node} has no module for workflow ${workflow}`));
      return { outcome, ended: outcome.then(() => {}) };
    },
    async close() {
      const waiting = [...idle.values()].flatMap((entries) => [...entries]);
      for (const { leave } of waiting) leave();
      await Promise.all(
        [...waiting.map(({ process }) => process), ...busy].map((one) => one.end()),
      );
    },
  };
}

interface Idle {
  process: StepProcess;
  /** Takes it out of those that wait. */
  leave(): void;
}
