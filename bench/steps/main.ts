// What it costs to run a step outside of the agent's event loop: in a thread, in a process, and in
// a process that is kept for the next step.
//
//   npm run bench -- steps [--rounds 15] [--steps 500]
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import type { ClaimedJob } from "@loom/queue";
import { createProcessRunner, importWorkflows, type Log } from "@loom/worker";

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

const quantile = (times: readonly number[], share: number): number =>
  [...times].sort((one, other) => one - other)[Math.floor(share * (times.length - 1))] ?? 0;

/** How often, and how long one takes, in milliseconds. */
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

/** A thread that has imported the workflow, as a step that is not kept would need each time. */
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

/** The same in a process. */
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

const silent = () => {};
const log: Log & ReturnType<Log["child"]> = {
  debug: silent,
  info: silent,
  warn: silent,
  error: silent,
  child: () => log,
};

/** From the call until the step's outcome is known, with the runner that agents use. */
async function runner() {
  const { workflows, modules } = await importWorkflows([STEP_MODULE]);
  const [step] = workflows[0]?.steps ?? [];
  if (!step) throw new Error("the workflow has no step");
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
  const make = () => createProcessRunner({ modules, env: { PATH: process.env.PATH }, execArgv });
  const runIn = async (runner: ReturnType<typeof make>) => {
    const task = {
      job,
      step,
      node: "bench",
      signal,
      write: silent,
      onStarted: silent,
      onProgress: silent,
      log,
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
const ms = (times: readonly number[], share: number) => quantile(times, share).toFixed(1);
const line = (what: string, times: readonly number[], memory = "") =>
  `| ${what} | ${ms(times, 0.5)} | ${ms(times, 0.99)} | ${memory} |`;
const text = `# Steps outside of the event loop

\`npm run bench -- steps --rounds ${rounds} --steps ${steps}\` on ${availableParallelism()} cores (${cpus()[0]?.model}), Node ${process.versions.node}.
The module that is imported uses \`@loom/workflow\` and zod, as every workflow with an input does.

| | p50 ms | p99 ms | memory, MiB |
| --- | ---: | ---: | ---: |
${line("a thread, until the module is imported", inThread.times, `+${inThread.memory.toFixed(0)}`)}
${line("a process, until the module is imported", inProcess.times, inProcess.memory.toFixed(0))}
${line("the runner: the first step, from start to outcome, and the end of the process", cold)}
${line("the runner: the next step in a kept process, from start to outcome", warm)}

\`+\`: by how much the process of the agent grew for each, all of them kept. The process's own figure counts pages of Node's that all its processes share.
`;
mkdirSync(new URL("../results/", import.meta.url), { recursive: true });
writeFileSync(new URL("../results/steps.md", import.meta.url), text);
console.log(text);
