import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { planRun, workflowCapability } from "@loom/scheduler";
import type { AnyWorkflow, RunPlan, WorkflowInput } from "@loom/workflow";
import { expect, onTestFinished } from "vitest";
import type { AgentSettings } from "./programs/agent.ts";

const PROGRAM = fileURLToPath(new URL("programs/agent.ts", import.meta.url));

interface AgentProcess {
  child: ChildProcess & { pid: number };
  lines: Record<string, unknown>[];
  /** Resolves when the agent has logged this, or has already. */
  said(message: string): Promise<void>;
  exited: Promise<void>;
}

/** An agent in a process of its own; it is killed at the end of the test at the latest. */
export function startAgentProcess(settings: AgentSettings): AgentProcess {
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const child = spawn(
    process.execPath,
    ["--conditions=@loom/source", PROGRAM, JSON.stringify(settings)],
    { stdio: ["ignore", "pipe", "inherit"], env: { PATH, NODE_COMPILE_CACHE } },
  );
  const { pid } = child;
  if (pid === undefined) throw new Error("the agent did not start");
  const lines: Record<string, unknown>[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => void lines.push(JSON.parse(line)));
  const exited = once(child, "exit").then(() => {});
  onTestFinished(async () => {
    child.kill("SIGCONT");
    child.kill("SIGKILL");
    await exited;
  });
  return {
    child: Object.assign(child, { pid }),
    lines,
    exited,
    said: (text) =>
      expect
        .poll(() => lines.map(({ message }) => message), { timeout: 15_000, interval: 10 })
        .toContain(text),
  };
}

/**
 * Plans a run for an agent in a process of its own: of whatever version of the code. Vitest rewrites
 * what it imports, so the version that it sees is not the agent's.
 */
export function planForAgent<W extends AnyWorkflow>(workflow: W, input: WorkflowInput<W>): RunPlan {
  const plan = planRun(workflow, { input });
  const exact = workflowCapability(workflow.name, workflow.version);
  const jobs = plan.jobs.map((job) => ({
    ...job,
    requires: job.requires.map((clause) =>
      clause === exact ? workflowCapability(workflow.name) : clause,
    ),
  }));
  return { ...plan, jobs };
}

/**
 * A way to a server that a test can cut, as a network that is down: connections break. Or silence, as a
 * network that loses every packet: they stay open, and no byte comes through, not even later.
 */
export async function startCable(url: string) {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let state: "whole" | "cut" | "silent" = "whole";
  const server = createServer((near) => {
    if (state === "cut") return void near.destroy();
    if (state === "silent") return void sockets.add(near.on("error", () => {}).pause());
    const far = connect(Number(port), hostname);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.pipe(other);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const hangUp = () => {
    for (const socket of sockets) socket.destroy();
  };
  onTestFinished(() => {
    server.close();
    hangUp();
  });
  const address = server.address() as AddressInfo;
  return {
    url: Object.assign(new URL(url), {
      hostname: "127.0.0.1",
      port: String(address.port),
    }).href.replace(/\/$/, ""),
    cut() {
      state = "cut";
      hangUp();
    },
    silence() {
      state = "silent";
      for (const socket of sockets) socket.unpipe().pause();
    },
    reconnect() {
      state = "whole";
    },
  };
}

/** Folders of a test: of the step, and of the agent's journal. */
export function makeFolders() {
  const root = mkdtempSync(path.join(tmpdir(), "loom-agent-"));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const folder = path.join(root, "step");
  mkdirSync(folder);
  const started = path.join(folder, "started");
  return {
    folder,
    journal: path.join(root, "journal"),
    /** Waits until the step runs, and gives its process. */
    async stepStarted(): Promise<number> {
      await expect
        .poll(() => existsSync(started) && readFileSync(started, "utf8"), {
          timeout: 15_000,
          interval: 10,
        })
        .toMatch(/^\d+$/);
      return Number(readFileSync(started, "utf8"));
    },
    letGo: () => writeFileSync(path.join(folder, "go"), ""),
    forgetStart: () => rmSync(started),
  };
}
