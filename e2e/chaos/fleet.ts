import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type ChildProcessHandle, startProcess } from "@loom/local-db";
import type { AgentOptions } from "./agent.ts";
import type { Route } from "./open-queue.ts";

/** What a worker process is told. */
export interface WorkerSettings
  extends Pick<AgentOptions, "node" | "leaseMs" | "slots" | "capabilities"> {
  readonly route: Route;
  readonly seed: string;
  readonly logFile: string;
}

export interface Worker {
  readonly node: string;
  /** SIGKILL, and a new process after `downMs`, if that is finite. False when it was not running. */
  kill(downMs: number): Promise<boolean>;
  /** SIGSTOP, and SIGCONT after `forMs`. False when it was not running. */
  freeze(forMs: number): Promise<boolean>;
  /** Asks it to settle what it holds and to end. */
  stop(): Promise<void>;
  /** What it wrote when it ended unasked; empty when it never did. */
  readonly crashes: readonly string[];
}

/** One node's agent in a process of its own, which is started again whenever it is killed. */
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
    const told: WorkerSettings = {
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
        JSON.stringify(told),
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
