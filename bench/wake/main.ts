// npm run bench -- wake [--jobs 1000]
//
// Measures the time from the hub's first write to the first line of the step on another node, on an idle
// system: with wake-ups, with polling alone, and for comparison with the LISTEN of graphile-worker.
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startHub } from "@loom/hub";
import { createQueue, type Queue } from "@loom/queue";
import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import { planRun } from "@loom/scheduler";
import { createInlinePlanner, createInlineRunner } from "@loom/worker";
import { createClient } from "@supabase/supabase-js";
import { Logger, makeWorkerUtils } from "graphile-worker";
import postgres from "postgres";
import { forkFile, release } from "../programs.ts";
import { quiet } from "../quiet.ts";
import { describeRun, percentile, toTable } from "../report.ts";
import { toPinned, toPlaced, workflows } from "./workflow.ts";

const { values } = parseArgs({
  options: {
    jobs: { type: "string", default: "1000" },
    /** The pause between two jobs. */
    "gap-ms": { type: "string", default: "20" },
    /** How many nodes poll, each at its own pace, so that a thousand waits take a minute or two. */
    "polling-nodes": { type: "string", default: "100" },
    /** The hub has a direct connection, as with the embedded database. */
    direct: { type: "boolean", default: false },
  },
});
const jobs = Number(values.jobs);
const gapMs = Number(values["gap-ms"]);
const pollingNodes = Number(values["polling-nodes"]);
const TOKEN = "a-token-for-the-benchmark";

const { child: databaseProcess, message: database } = await forkFile<{
  url: string;
  serviceKey: string;
  databaseUrl: string;
  socketDir: string;
}>("database.ts");
const real = values.direct
  ? createPostgresQueue({
      sql: postgres(database.databaseUrl, { ...clientOptions, host: database.socketDir, max: 6 }),
    })
  : createQueue({
      client: createClient(database.url, database.serviceKey, { auth: { persistSession: false } }),
    });
let writtenAt = 0n;
/** Records when the hub first writes a run. */
const timed = (queue: Queue): Queue => ({
  ...queue,
  withAudit: (request) => timed(queue.withAudit(request)),
  startRun(...args) {
    writtenAt = process.hrtime.bigint();
    return queue.startRun(...args);
  },
});
const stop = new AbortController();
const hub = await startHub(
  {
    queue: timed(real),
    planner: createInlinePlanner(workflows),
    runner: createInlineRunner(workflows),
    log: quiet,
    token: TOKEN,
    bind: "127.0.0.1",
    port: 0,
    node: { name: "oracle" },
    wakeServer: { address: "127.0.0.1", port: 0 },
  },
  { signal: stop.signal },
);

const startedAt = async (runId: string): Promise<bigint> => {
  const [job] = (await real.getRun(runId)).jobs;
  if (job?.state !== "succeeded") throw new Error(`the job is ${job?.state}`);
  return BigInt(String(job.result));
};

async function byWakeUp(workflow: string, agent: ChildProcess): Promise<number> {
  const settled = once(agent, "message");
  const answer = await fetch(`${hub.url}/api/loom/strands/${workflow}/run`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}` },
  });
  const { runId } = (await answer.json()) as { runId: string };
  await settled;
  return Number((await startedAt(runId)) - writtenAt) / 1e6;
}

const nodes = async (names: readonly string[], wakeServer: boolean): Promise<ChildProcess> => {
  const settings = JSON.stringify({ nodes: names, wakeServer });
  const args = [database.url, database.serviceKey, settings];
  return (await forkFile("wake/agent.ts", ...args)).child;
};

const utils = await makeWorkerUtils({
  connectionString: database.databaseUrl,
  logger: new Logger(() => () => {}),
});
await utils.migrate();
const { child: listener } = await forkFile("wake/listener.ts", database.databaseUrl);

async function byListen(): Promise<number> {
  const began = once(listener, "message") as Promise<[{ began: string }]>;
  const at = process.hrtime.bigint();
  await utils.addJob("tell", {});
  const [message] = await began;
  return Number(BigInt(message.began) - at) / 1e6;
}

/** Gives one node one job at a time, at random moments of its polling interval. */
async function byPolling(agent: ChildProcess, node: string, count: number): Promise<number[]> {
  const waits: number[] = [];
  for (let done = 0; done < count; done += 1) {
    await sleep(Math.random() * 5_000);
    const settled = new Promise<void>((resolve) => {
      const onMessage = (message: unknown) => {
        if ((message as { settled?: string }).settled !== node) return;
        agent.off("message", onMessage);
        resolve();
      };
      agent.on("message", onMessage);
    });
    const at = process.hrtime.bigint();
    const plan = planRun(toPinned);
    const { runId } = await real.startRun({
      ...plan,
      jobs: plan.jobs.map((job) => ({ ...job, host: node })),
    });
    await settled;
    waits.push(Number((await startedAt(runId)) - at) / 1e6);
  }
  return waits;
}

/** Measures calls in which the database does nothing: the floor of all others. */
async function emptyCalls(queue: Queue): Promise<number[]> {
  const times: number[] = [];
  for (let call = 0; call < 2 * jobs; call += 1) {
    const at = performance.now();
    await queue.describeDatabase();
    times.push(performance.now() - at);
  }
  // The first half warms up.
  return times.slice(jobs);
}
const sql = postgres(database.databaseUrl, { host: database.socketDir, max: 1 });
const calls = {
  rest: await emptyCalls(real),
  direct: await emptyCalls(createPostgresQueue({ sql })),
};
await sql.end();

const forge = await nodes(["forge"], true);
const waits: Record<string, number[]> = { pinned: [], placed: [], listen: [], polling: [] };
// In turns, so that a disturbance of the machine affects all three.
for (let done = 0; done < jobs; done += 1) {
  waits.pinned?.push(await byWakeUp(toPinned.name, forge));
  await sleep(gapMs);
  waits.listen?.push(await byListen());
  await sleep(gapMs);
  waits.placed?.push(await byWakeUp(toPlaced.name, forge));
  await sleep(gapMs);
}
forge.kill();
listener.kill();

const names = Array.from({ length: pollingNodes }, (_, index) => `poller-${index}`);
const pollers = await nodes(names, false);
pollers.setMaxListeners(names.length + 10);
const each = Math.ceil(jobs / names.length);
waits.polling = (await Promise.all(names.map((name) => byPolling(pollers, name, each)))).flat();
pollers.kill();

const row = (title: string, of: readonly number[] = []): string[] => [
  title,
  String(of.length),
  percentile(of, 0.5),
  percentile(of, 0.99),
];
console.log(
  toTable(
    ["way", "count", "p50 ms", "p99 ms"],
    [
      row("wake-up, the step names its node", waits.pinned),
      row("wake-up, the hub chooses the node", waits.placed),
      row("graphile-worker 0.18.0, LISTEN on a direct connection", waits.listen),
      row(`polling alone, ${names.length} nodes at their default pace`, waits.polling),
      row("an empty call over PostgREST", calls.rest),
      row("an empty call over a direct connection", calls.direct),
    ],
  ),
);
console.log(`\n${describeRun(`npm run bench -- wake ${process.argv.slice(2).join(" ")}`.trim())}`);

stop.abort();
await hub.done;
await utils.release();
await release(databaseProcess);
