import { randomBytes, randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import path from "node:path";
import { CodeError } from "@loom/code";
import { EXEC_WORKFLOW } from "@loom/workflow";
import type { StepCode } from "../code/step-code.ts";
import { EXEC_MODULE } from "../exec/run-command.ts";
import { openAttemptFiles, removeFolder } from "../files/attempt-files.ts";
import { type FileTransfer, noFiles } from "../files/file-transfer.ts";
import type { Log } from "../log.ts";
import { classify, decline, type Outcome, ShutdownError } from "../outcome.ts";
import { inheritedOptions } from "./code-process.ts";
import { type NodeFault, NodeFaultError } from "./node-fault.ts";
import { secretsOf } from "./secrets.ts";
import { type StepProcess, startStepProcess } from "./step-process.ts";
import type { StepRunner, StepTask } from "./step-runner.ts";

/** The share of a step's time to end that its commands get, so that the step can see them end. */
const COMMANDS_SHARE = 0.6;

export interface ProcessRunnerOptions {
  /** The program of the processes, from `bundleStepProgram`. Default: this package's own file. */
  program?: Promise<string | undefined>;
  /** Where the code of the steps is: `ownCode` or `createFetchedCode`. */
  code: StepCode;
  /**
   * The environment of the steps. Secret values are hidden in logs and errors: see `secretsOf`.
   */
  env: Readonly<Record<string, string | undefined>>;
  /** The memory limit of a step's process, in MiB. Programs that it starts do not count. Default 1024. */
  memoryMb?: number;
  /** How long a step may go on after its signal aborted before it is killed. Default 5 000. */
  killAfterMs?: number;
  /** How long a process is kept for the next step of its module. Default 60 000. */
  idleMs?: number;
  /** Options of Node for the processes; default: this process's own. */
  execArgv?: readonly string[];
  /** Carries files between steps and the hub's store. Default: a step that asks for one fails. */
  files?: FileTransfer | undefined;
  /**
   * Where attempts have files while they run. No other runner uses it: what is there before the first attempt was left by an agent
   * that was killed, and is removed. Default: a new folder among the system's temporary files, which goes with the runner.
   */
  filesFolder?: string;
  /** Whether each process gets a control group where this user may make one. Default true. */
  cgroups?: boolean;
}

/**
 * Runs each step in a process, so that any step can be ended with everything that it started.
 *
 * A process is kept for the next step of the same module, so that only the first step waits for Node
 * and the import. A process that its step left unclean is not used again. When no process can be
 * started at all, the job is declined, because the machine is at fault.
 */
export function createProcessRunner({
  code,
  program,
  env,
  memoryMb = 1_024,
  killAfterMs = 5_000,
  idleMs = 60_000,
  execArgv = inheritedOptions(),
  cgroups = true,
  files = noFiles,
  filesFolder: ownFolder,
}: ProcessRunnerOptions): StepRunner {
  const secrets = secretsOf(env);
  const idle = new Map<string, Set<Idle>>();
  const busy = new Set<StepProcess>();
  const closing = new AbortController();
  const folder = process.cwd();
  const filesFolder = ownFolder ?? path.join(tmpdir(), `loom-files-${randomUUID()}`);
  let emptied: Promise<void> | undefined;
  let fault: NodeFault | null = null;

  async function take(module: string, signal: AbortSignal): Promise<StepProcess> {
    const [waiting] = idle.get(module) ?? [];
    if (!waiting) return await start(module, signal);
    waiting.leave();
    return waiting.process;
  }

  /** Starts a process, and records whether this machine can. */
  async function start(module: string | null, signal: AbortSignal): Promise<StepProcess> {
    try {
      const main = await program;
      const options = { main, module, memoryMb, env, execArgv, folder, cgroups };
      const started = await startStepProcess(options, {
        signal: AbortSignal.any([signal, closing.signal]),
      });
      fault = null;
      return started;
    } catch (error) {
      if (error instanceof NodeFaultError) {
        fault = { reason: error.message, since: fault?.since ?? new Date() };
      }
      throw error;
    }
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

  async function run(task: StepTask): Promise<Outcome> {
    const { job, node, signal, write, onStarted, onProgress, onCheckpoint, log } = task;
    // Not when the runner is made: another agent, which this one is about to find, may still have the folder.
    if (ownFolder !== undefined) {
      emptied ??= empty(ownFolder, log);
      await emptied;
    }
    let stepProcess: StepProcess;
    let url: string;
    try {
      url = job.workflow === EXEC_WORKFLOW ? EXEC_MODULE : await code.open(job, { signal });
      stepProcess = await take(url, signal);
    } catch (error) {
      if (error instanceof NodeFaultError) return decline(error.message);
      // It may run on another node.
      if (error instanceof CodeError) return decline(`${error.code}: ${error.message}`);
      return classify(signal.aborted ? signal.reason : error);
    }
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
    const attemptFiles = openAttemptFiles(job, {
      transfer: files,
      folder: path.join(filesFolder, mark),
      signal,
      log,
    });
    const order = { job, node, mark, secrets, commandGraceMs, filesFolder: attemptFiles.folder };
    const running = stepProcess
      .run(order, {
        ...{ write, onStarted, onProgress, onCheckpoint },
        askForFile: attemptFiles.ask,
      })
      // The order could not be sent, so the process never had it.
      .catch((error: unknown) => ({
        outcome: classify(error),
        unclean: "its order could not be sent",
      }));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort);
    const { outcome, unclean } = await running;
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    // The outcome is reported when nothing of the attempt is left.
    if (unclean === null && !signal.aborted) keep(url, stepProcess);
    else {
      log.debug({ unclean }, "the step's process is not kept for another one");
      await stepProcess.end();
    }
    busy.delete(stepProcess);
    await attemptFiles.close();
    return outcome;
  }

  return {
    start(task) {
      const outcome = run(task);
      return {
        outcome,
        ended: outcome.then(
          () => {},
          () => {},
        ),
      };
    },
    fault: () => fault,
    async recheck() {
      const tried = await start(null, closing.signal).catch(() => undefined);
      await tried?.end();
    },
    async close() {
      closing.abort(new ShutdownError());
      const waiting = [...idle.values()].flatMap((entries) => [...entries]);
      for (const { leave } of waiting) leave();
      await Promise.all(
        [...waiting.map(({ process }) => process), ...busy].map((one) => one.end()),
      );
      if (ownFolder === undefined) await removeFolder(filesFolder);
    },
  };
}

async function empty(folder: string, log: Log): Promise<void> {
  await removeFolder(folder).catch((error: unknown) =>
    log.warn({ folder, err: error }, "files of earlier attempts are left behind"),
  );
}

interface Idle {
  process: StepProcess;
  /** Removes it from the idle processes. */
  leave(): void;
}
