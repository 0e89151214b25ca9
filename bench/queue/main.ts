// npm run bench -- queue [--rounds 3] [--jobs 20000] [--batches 1,10,100,500] [--backlogs 1000,100000,1000000]
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { startCluster } from "@loom/local-db";
import { migrationScript } from "@loom/queue";
import { describeRun } from "../machine.ts";
import { type Backlog, type ClaimLatency, measureClaims } from "./claim-latency.ts";
import { graphileWorker, graphileWorkerLocalQueue } from "./engines/graphile-worker.ts";
import { loomDirect, loomRest } from "./engines/loom.ts";
import { pgBoss } from "./engines/pg-boss.ts";
import { raw } from "./engines/raw.ts";
import { loomWithoutEvents } from "./events-cost.ts";
import { formatReport } from "./report.ts";
import { measureThroughput, type Throughput } from "./throughput.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    jobs: { type: "string", default: "20000" },
    batches: { type: "string", default: "1,10,100,500" },
    backlogs: { type: "string", default: "1000,100000,1000000" },
  },
});
const toNumbers = (text: string) => text.split(",").filter(Boolean).map(Number);
const jobs = Number(values.jobs);
const batches = toNumbers(values.batches);
const backlogs = toNumbers(values.backlogs);

/** What is committed is on disk, for every engine alike; the rest is Postgres' own defaults. */
const SETTINGS = {
  fsync: "on",
  full_page_writes: "on",
  max_wal_size: "4GB",
  shared_buffers: "512MB",
};
await using cluster = await startCluster({ schema: await migrationScript(), settings: SETTINGS });
const engines = [
  raw,
  graphileWorker,
  graphileWorkerLocalQueue,
  pgBoss,
  loomDirect,
  loomWithoutEvents,
  loomRest,
];

/** All engines one after the other, then all again: what slows the machine down slows all of them. */
const throughput: Throughput[] = [];
for (const batch of batches) {
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const open of engines) {
      // One at a time takes a call a job: fewer of them say as much.
      const count = batch === 1 ? Math.ceil(jobs / 4) : jobs;
      throughput.push(await measureThroughput(cluster.info, { open, jobs: count, batch }));
      console.error(throughput.at(-1));
    }
  }
}

const shapes: Backlog[] = backlogs.flatMap((size) => [
  { jobs: size, nodes: 100, dead: 0 },
  { jobs: size, nodes: 100, dead: 0.2 },
]);
const most = backlogs.at(-1);
if (most !== undefined) shapes.push({ jobs: most, nodes: 10_000, dead: 0 });
const claims: ClaimLatency[] = [];
for (const shape of shapes) {
  const measured = await measureClaims(cluster.info, shape);
  claims.push(measured);
  console.error(measured);
}

const command = `npm run bench -- queue ${process.argv.slice(2).join(" ")}`.trim();
const report = formatReport({ run: describeRun(command), jobs, throughput, claims });
console.log(report);
writeFileSync(new URL("../results/queue.md", import.meta.url), report);
