import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type ChildProcessHandle, startProcess } from "@loom/local-db";
import type { WorkerSettings } from "./worker.ts";

export interface Worker {
  readonly node: string;
  /** Sends SIGKILL, and starts a new process after `downMs` if that is finite. Resolves to false when none was running. */
  kill(downMs: number): Promise<boolean>;
  /** Sends SIGSTOP, and SIGCONT after `forMs`. Resolves to false when none was running. */
  freeze(forMs: number): Promise<boolean>;
  /** Asks the worker to settle what it holds and to end. */
  stop(): Promise<void>;
  /** One entry for each unexpected end, with the output of the process. */
  readonly crashes: readonly string[];
}

/** Starts a node's agent in its own process, and starts it again whenever a fault kills it. */
export async function startWorker(
  settings: Omit<WorkerSettings, "logFile"> & { logFolder: string },
): Promise<Worker> {
  const { logFolder, ...rest } = settings;
  const { node, seed } = rest;
  const crashes: string[] = [];
  let starts = 0;
  let state: "running" | "down" | "frozen" = "down";
  let isStopped = false;
  let child = await start();

  async function start(): Promise<ChildProcessHandle> {
    starts += 1;
    const argument: WorkerSettings = {
      ...rest,
      seed: `${seed}/${node}/${starts}`,
      logFile: join(logFolder, `${node}.${starts}.ndjson`),
    };
    const program = fileURLToPath(new URL("./worker.ts", import.meta.url));
    const started = await startProcess(
      process.execPath,
      [
        "--conditions=@loom/source",
        "--disable-warning=ExperimentalWarning",
        program,
        JSON.stringify(argument),
      ],
      { name: node, stopSignal: "SIGTERM", graceMs: 20_000 },
    );
    void started.exited.then(({ code, log }) => {
      if (code === 0 || code === null) return;
      state = "down";
      crashes.push(`${node} ended with ${code}: ${log}`);
    });
    state = "running";
    return started;
  }

  return {
    node,
    crashes,
    async kill(downMs) {
      if (state !== "running") return false;
      state = "down";
      process.kill(child.pid, "SIGKILL");
      await child.exited;
      if (Number.isFinite(downMs)) {
        await sleep(downMs);
        if (!isStopped) child = await start();
      }
      return true;
    },
    async freeze(forMs) {
      if (state !== "running") return false;
      state = "frozen";
      process.kill(child.pid, "SIGSTOP");
      await sleep(forMs);
      if (state === "frozen") {
        process.kill(child.pid, "SIGCONT");
        state = "running";
      }
      return true;
    },
    async stop() {
      if (state === "frozen") process.kill(child.pid, "SIGCONT");
      state = "down";
      isStopped = true;
      await child.stop();
    },
  };
}
