import { setTimeout as sleep } from "node:timers/promises";
import type { ChildProcessHandle, ProcessExit } from "./start-process.ts";

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** A process that ran this long before it ended did start, so the delays begin again. */
const STEADY_MS = 60_000;

export interface KeepRunningOptions {
  /** Called when the process ended unexpectedly, or was restarted and did not become ready. */
  readonly onEnd: (end: { reason: string; retryMs: number }) => void;
  /** Called when it is ready again. */
  readonly onBack: () => void;
}

/** A process that is restarted whenever it ends unexpectedly. */
export interface KeptProcess {
  /** Stops the process for good, and waits until it has ended. */
  stop(): Promise<void>;
}

/**
 * Starts a process, and restarts it when it ends unexpectedly: after half a second, and after up to
 * half a minute while it keeps ending.
 *
 * @param start - Starts the process and waits until it is ready; leaves nothing behind when it
 * fails. It passes the process to `began` before it waits, so that `stop` works during the start.
 * @throws What the first start throws.
 */
export async function keepRunning(
  start: (began: (process: ChildProcessHandle) => void) => Promise<ChildProcessHandle>,
  { onEnd, onBack }: KeepRunningOptions,
): Promise<KeptProcess> {
  const stopping = new AbortController();
  let current: ChildProcessHandle | undefined;
  const began = (process: ChildProcessHandle) => {
    current = process;
    if (stopping.signal.aborted) void process.stop();
  };
  const first = await start(began);
  current = first;

  async function keep(): Promise<void> {
    let running: ChildProcessHandle | undefined = first;
    let reason = "";
    let failures = 0;
    for (;;) {
      if (running) {
        const readyAt = performance.now();
        reason = describe(await running.exited);
        if (performance.now() - readyAt > STEADY_MS) failures = 0;
      }
      if (stopping.signal.aborted) return;
      failures += 1;
      const retryMs = Math.min(FIRST_DELAY_MS * 2 ** (failures - 1), MAX_DELAY_MS);
      onEnd({ reason, retryMs });
      await sleep(retryMs, undefined, { signal: stopping.signal }).catch(() => {});
      if (stopping.signal.aborted) return;
      try {
        running = await start(began);
        current = running;
        if (!stopping.signal.aborted) onBack();
      } catch (error) {
        running = undefined;
        reason = error instanceof Error ? (error.message.split("\n")[0] ?? "") : String(error);
      }
      if (stopping.signal.aborted) await running?.stop();
    }
  }
  const kept = keep();
  return {
    async stop() {
      stopping.abort();
      await current?.stop();
      await kept;
    },
  };
}

const describe = ({ signal, code }: ProcessExit): string => signal ?? `exit code ${code}`;
