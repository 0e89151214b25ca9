import { existsSync } from "node:fs";
import type { Log } from "../log.ts";
import { onceAborted, sleep } from "../wait.ts";

/** The reason why a machine cannot run any step. No step is to blame for it. */
export interface NodeFault {
  /** The problem, and how to fix it. */
  reason: string;
  since: Date;
}

/** The part of a runner that knows whether steps can be started. */
export interface FaultSource {
  /** What keeps this machine from starting steps, as of the last try; null when nothing does. */
  fault(): NodeFault | null;
  /** Tries again whether a step can be started. */
  recheck(): Promise<void>;
}

/** No step can be started on this machine now. Its jobs go back without spending an attempt. */
export class NodeFaultError extends Error {
  override readonly name = "NodeFaultError";
  readonly code = "NODE_FAULT";
}

const BY_CODE: Readonly<Record<string, string>> = {
  EAGAIN:
    "this user may start no more processes (EAGAIN): end some, or raise the limit (TasksMax= of the service, ulimit -u)",
  EMFILE: "the agent has too many open files (EMFILE): raise the limit (LimitNOFILE=, ulimit -n)",
  ENFILE: "the machine has too many open files (ENFILE): raise fs.file-max",
  ENOMEM: "there is no memory for another process (ENOMEM): free some",
};

/** Says why a process could not be started, and how to fix it. */
export function toNodeFault(cause: Error, { folder }: { folder: string }): NodeFaultError {
  const { code = "", message } = cause as NodeJS.ErrnoException;
  const reason = !existsSync(folder)
    ? `the folder ${folder}, in which the agent was started, is gone: create it again, or restart the agent`
    : !existsSync(process.execPath)
      ? `Node is not at ${process.execPath} any more: put it back, or restart the agent`
      : (BY_CODE[code] ?? message);
  return new NodeFaultError(`no step can be started here: ${reason}`, { cause });
}

const FIRST_RETRY_MS = 1_000;
const SLOWEST_RETRY_MS = 60_000;

/**
 * Watches a runner until the signal aborts. While it cannot start steps, tries again, slower and slower.
 *
 * @param options.onChange - Called with the fault, and with null when it is fixed.
 */
export async function watchForFaults({
  runner,
  log,
  onChange,
  attemptEnded,
  signal,
}: {
  runner: FaultSource;
  log: Log;
  onChange: (fault: NodeFault | null) => void;
  /** Woken when an attempt has ended, which may have shown a fault. */
  attemptEnded: { wait(ms: number, signal: AbortSignal): Promise<unknown> };
  signal: AbortSignal;
}): Promise<void> {
  while (!signal.aborted) {
    await attemptEnded.wait(SLOWEST_RETRY_MS, signal);
    const fault = runner.fault();
    if (fault === null) continue;
    log.error({ reason: fault.reason }, "this machine cannot run steps: it claims nothing");
    onChange(fault);
    for (
      let waitMs = FIRST_RETRY_MS;
      runner.fault() !== null && !signal.aborted;
      waitMs = Math.min(2 * waitMs, SLOWEST_RETRY_MS)
    ) {
      await sleep(waitMs, { signal });
      await Promise.race([runner.recheck(), onceAborted(signal)]);
    }
    if (signal.aborted) return;
    log.info({ reason: fault.reason }, "this machine can run steps again");
    onChange(null);
  }
}
