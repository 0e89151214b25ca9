// npm run bench -- system [--quick] [--jobs 1000] [--runs 1000] [--rounds 3] [--alone 50] [--agents 200]
//
// The whole system as `npm start` starts it: how fast it works, how soon one job is done, what a job costs, how fast the
// hub answers, and what the system takes at rest, also with many idle agents.
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import autocannon from "autocannon";
import { forkFile } from "../programs.ts";
import { describeRun } from "../report.ts";
import {
  measureJobs,
  measureJobsAlone,
  measureRuns,
  measureRunsAlone,
  type Throughput,
} from "./load.ts";
import { type Answer, formatReport } from "./report.ts";
import { startSystem } from "./start.ts";
import { countFunctions, readMemory, usageOf } from "./usage.ts";

const { values } = parseArgs({
  options: {
    /** Two minutes instead of twenty, for a look at the tables. The results are not kept. */
    quick: { type: "boolean", default: false },
    jobs: { type: "string" },
    runs: { type: "string" },
    rounds: { type: "string" },
    /** How many jobs and how many runs are measured one at a time. */
    alone: { type: "string" },
    /** How many idle agents are added at the end. */
    agents: { type: "string" },
    /** How long the hub is asked, for each operation. */
    "http-seconds": { type: "string" },
    /** How long nothing runs before the system counts as being at rest: processes for steps end after a minute. */
    "settle-seconds": { type: "string" },
    /** How long it is measured at rest. */
    "rest-seconds": { type: "string" },
  },
});
const defaults = values.quick
  ? {
      ...{ jobs: "100", runs: "30", rounds: "1", alone: "5", agents: "10" },
      ...{ "http-seconds": "2", "settle-seconds": "1", "rest-seconds": "10" },
    }
  : {
      ...{ jobs: "1000", runs: "1000", rounds: "3", alone: "50", agents: "200" },
      ...{ "http-seconds": "8", "settle-seconds": "120", "rest-seconds": "120" },
    };
const option = (name: keyof typeof defaults) => Number(values[name] ?? defaults[name]);
const rounds = option("rounds");

/** Forty tokens, of 100 requests a second each, make the hub the limit. */
const TOKENS = 40;
const PROCESSES = 2;

const system = await startSystem();
try {
  const report = await measure();
  console.log(report);
  if (!values.quick) writeFileSync(new URL("../results/system.md", import.meta.url), report);
} finally {
  await system.stop();
}

async function measure(): Promise<string> {
  await countFunctions(system);
  const tokens = await system.createTokens(TOKENS);
  // Until processes for steps and connections are there.
  await measureRunsAlone(system, 3);

  const jobsAlone = await measureJobsAlone(system, option("alone"));
  const runsAlone = await measureRunsAlone(system, option("alone"));
  const jobs: Throughput[] = [];
  const runs: Throughput[] = [];
  for (let round = 0; round < rounds; round += 1) {
    jobs.push(await measureJobs(system, option("jobs")));
    runs.push(await measureRuns(system, option("runs"), tokens));
  }
  const answers = await measureAnswers(tokens);

  await sleep(1_000 * option("settle-seconds"));
  const rest = await usageOf(system, () => sleep(1_000 * option("rest-seconds")));
  const memory = readMemory(system);
  const busier = await withIdleAgents(option("agents"), () =>
    usageOf(system, () => sleep(1_000 * option("rest-seconds"))),
  );

  return formatReport({
    run: describeRun(`npm run bench -- system ${process.argv.slice(2).join(" ")}`.trim()),
    readySeconds: system.readySeconds,
    agents: option("agents"),
    ...{ jobs, runs, jobsAlone, runsAlone, answers, rest, memory, busier },
  });
}

/** Measures reads of the hub's API. */
async function measureAnswers(tokens: readonly string[]): Promise<Answer[]> {
  const [job] = (await system.client.listJobs({ limit: 1 })).data;
  const rows: Answer[] = [];
  for (const target of ["/runs", `/jobs/${job?.id}`, "/nodes"]) {
    const { requests, latency, non2xx, errors, timeouts } = await autocannon({
      url: system.url,
      connections: 10,
      duration: option("http-seconds"),
      requests: tokens.map((token) => ({
        method: "GET",
        path: `/api/loom${target}`,
        headers: { authorization: `Bearer ${token}` },
      })),
    });
    rows.push({
      title: `GET ${target.replace(/\d+/, "{id}")}`,
      perSecond: requests.average,
      ...{ p50: latency.p50, p99: latency.p99, failed: non2xx + errors + timeouts },
    });
  }
  return rows;
}

/** Runs idle agents, many in each of two processes, while some work is done. */
async function withIdleAgents<T>(agents: number, work: () => Promise<T>): Promise<T> {
  const { url, key } = await system.postgrest();
  const count = Math.ceil(agents / PROCESSES);
  const fleets = await Promise.all(
    Array.from({ length: PROCESSES }, (_, index) =>
      forkFile("system/fleet.ts", url, key, JSON.stringify({ from: index * count, count })),
    ),
  );
  try {
    // By then they have said hello, and poll at their idle pace.
    await sleep(values.quick ? 1_000 : 15_000);
    return await work();
  } finally {
    for (const { child } of fleets) child.kill();
  }
}
