// npm run bench -- steps [--rounds 15] [--steps 500]
//
// Measures what it costs to run a step outside of the agent's event loop: in a thread, in a process, and in
// a process that is kept for the next step.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import type { ClaimedJob } from "@loom/queue";
import { createProcessRunner, ownCode } from "@loom/worker";
import { quiet } from "../quiet.ts";
import { describeRun, percentile, quantile, toTable } from "../report.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "15" },
    steps: { type: "string", default: "500" },
  },
});
const rounds = Number(values.rounds);
const steps = Number(values.steps);
const STEP_MODULE = new URL("workflow.ts", import.meta.url).href;
const ENTRY = fileURLToPath(new URL("entry.ts", import.meta.url));
const execArgv = ["--conditions=@loom/source"];

/** Runs something a number of times. Returns the milliseconds of each. */
async function measure(count: number, once: () => Promise<void>): Promise<number[]> {
  const times: number[] = [];
  for (let round = 0; round < count; round += 1) {
    const startedAt = performance.now();
    await once();
    times.push(performance.now() - startedAt);
  }
  return times;
}

const rssMb = (pid: number | "self"): number => {
  const [, kilobytes = "0"] =
    /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Number(kilobytes) / 1_024;
};

/** Starts threads until each has imported the workflow, as every step would need without keeping one. */
async function threads() {
  const running: Worker[] = [];
  const before = rssMb("self");
  const times = await measure(rounds, async () => {
    const worker = new Worker(ENTRY, { workerData: STEP_MODULE, execArgv });
    await once(worker, "message");
    running.push(worker);
  });
  const memory = (rssMb("self") - before) / rounds;
  for (const worker of running) await worker.terminate();
  return { times, memory };
}

/** The same with processes. */
async function processes() {
  const memory: number[] = [];
  const times = await measure(rounds, async () => {
    const child = fork(ENTRY, [STEP_MODULE], { execArgv });
    await once(child, "message");
    memory.push(rssMb(child.pid ?? "self"));
    child.kill("SIGKILL");
    await once(child, "exit");
  });
  return { times, memory: quantile(memory, 0.5) };
}

const ignore = () => {};

/** Measures the time until the outcome of a step is known, with the runner that agents use. */
async function runner() {
  const code = ownCode(new Map([["bench", { url: STEP_MODULE }]]));
  const job: ClaimedJob = {
    id: 1,
    fence: 1,
    runId: null,
    workflow: "bench",
    version: "",
    step: "nothing",
    requires: [],
    attempt: 1,
    maxAttempts: 1,
    timeoutMs: 60_000,
    traceparent: null,
    input: {},
    results: {},
  };
  const { signal } = new AbortController();
  const make = () => createProcessRunner({ code, env: { PATH: process.env.PATH }, execArgv });
  const runIn = async (runner: ReturnType<typeof make>) => {
    const task = {
      job,
      node: "bench",
      signal,
      write: ignore,
      onStarted: ignore,
      onProgress: ignore,
      onCheckpoint: async () => {},
      log: quiet,
    };
    const outcome = await runner.start(task).outcome;
    if (outcome.outcome !== "succeeded") throw new Error(JSON.stringify(outcome));
  };
  const cold = await measure(rounds, async () => {
    const once = make();
    await runIn(once);
    await once.close();
  });
  const kept = make();
  await runIn(kept);
  const warm = await measure(steps, () => runIn(kept));
  await kept.close();
  return { cold, warm };
}

const inThread = await threads();
const inProcess = await processes();
const { cold, warm } = await runner();
const line = (what: string, times: readonly number[], memory = "") => [
  what,
  percentile(times, 0.5),
  percentile(times, 0.99),
  memory,
];
const text = `# What does a step's own process cost?

${describeRun(`npm run bench -- steps --rounds ${rounds} --steps ${steps}`)}

The imported module uses \`@loom/workflow\` and zod, as every workflow with an input does.

${toTable(
  ["", "p50 ms", "p99 ms", "memory, MiB"],
  [
    line(
      "a thread, until it has imported the module",
      inThread.times,
      `+${inThread.memory.toFixed(0)}`,
    ),
    line(
      "a process, until it has imported the module",
      inProcess.times,
      inProcess.memory.toFixed(0),
    ),
    line("the runner: the first step, including start and end of its process", cold),
    line("the runner: the next step in a kept process", warm),
  ],
)}

\`+\` is the growth of the agent's process for each thread, all of them kept. The figure of a process includes pages that all Node
processes share.
`;
mkdirSync(new URL("../results/", import.meta.url), { recursive: true });
writeFileSync(new URL("../results/steps.md", import.meta.url), text);
console.log(text);
