// npm run bench -- queue [--quick] [--rounds 3] [--jobs 20000] [--batches 1,10,100,500] [--inputs 60,1024]
//   [--backlogs 1000,100000,1000000] [--engines loom,boss]
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { startCluster } from "@loom/local-db";
import { migrationScript } from "@loom/queue";
import { describeRun } from "../report.ts";
import { type BacklogLatency, measureBacklog } from "./backlog.ts";
import { graphileWorker, graphileWorkerLocalQueue } from "./engines/graphile-worker.ts";
import { loomDirect, loomRest } from "./engines/loom.ts";
import { pgBoss } from "./engines/pg-boss.ts";
import { pgmqDirect, pgmqRest } from "./engines/pgmq.ts";
import { raw } from "./engines/raw.ts";
import { type Measurement, measureEngine } from "./measure.ts";
import { formatReport } from "./report.ts";
import { measureRuns, type RunCost } from "./runs.ts";

const ENGINES = [
  raw,
  graphileWorker,
  graphileWorkerLocalQueue,
  pgBoss,
  pgmqDirect,
  loomDirect,
  pgmqRest,
  loomRest,
];

const { values } = parseArgs({
  options: {
    /** A minute instead of half an hour, for a look at the tables. The results are not kept. */
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    jobs: { type: "string" },
    batches: { type: "string" },
    inputs: { type: "string" },
    backlogs: { type: "string" },
    /** Only engines whose name contains one of these. The results are not kept. */
    engines: { type: "string" },
  },
});
const defaults = values.quick
  ? { rounds: "1", jobs: "2000", batches: "1,100", inputs: "60", backlogs: "1000,10000" }
  : {
      ...{ rounds: "3", jobs: "20000", batches: "1,10,100,500", inputs: "60,1024" },
      backlogs: "1000,100000,1000000",
    };
const numbersOf = (name: keyof typeof defaults) =>
  (values[name] ?? defaults[name]).split(",").filter(Boolean).map(Number);
const [rounds = 1] = numbersOf("rounds");
const [jobs = 1] = numbersOf("jobs");
const engines = ENGINES.filter(
  ({ name }) => values.engines?.split(",").some((part) => name.includes(part)) ?? true,
);

/** Every engine's commits are on disk. All other settings are Postgres' defaults. */
const SETTINGS = {
  fsync: "on",
  full_page_writes: "on",
  max_wal_size: "4GB",
  shared_buffers: "512MB",
  // Neither of them strikes one engine and not the next: tables are vacuumed between the phases.
  autovacuum: "off",
  checkpoint_timeout: "1h",
};
await using cluster = await startCluster({ schema: await migrationScript(), settings: SETTINGS });

/** Each round measures all engines, so that a slow machine slows all of them. */
const measurements: Measurement[] = [];
for (const inputBytes of numbersOf("inputs")) {
  for (const batch of numbersOf("batches")) {
    for (let round = 0; round < rounds; round += 1) {
      for (const kind of engines.filter(({ takes }) => takes?.(batch) ?? true)) {
        // A small batch takes more calls a job, so fewer jobs are enough.
        const count = Math.ceil(jobs / (batch === 1 ? 10 : batch < 100 ? 2 : 1));
        const options = { kind, jobs: count, batch, inputBytes, round };
        const measured = await measureEngine(cluster.info, options);
        measurements.push(measured);
        console.error(
          `${inputBytes} B, batch ${batch}, round ${round}: ${kind.name}, enqueue ${measured.enqueue.wall.toFixed(1)} µs, drain ${measured.drain.wall.toFixed(1)} µs`,
        );
      }
    }
  }
}

const runs: RunCost[] = [];
for (let round = 0; round < rounds; round += 1) {
  runs.push(...(await measureRuns(cluster.info, 1_000)));
}

const backlogs: BacklogLatency[] = [];
for (const size of numbersOf("backlogs")) {
  console.error(`a backlog of ${size} jobs`);
  const samples = values.quick ? 100 : 400;
  backlogs.push(...(await measureBacklog(cluster.info, { jobs: size, samples })));
}

const command = `npm run bench -- queue ${process.argv.slice(2).join(" ")}`.trim();
const report = formatReport({
  run: describeRun(command),
  engines: engines.map(({ name }) => name),
  ...{ jobs, measurements, backlogs, runs },
});
console.log(report);
if (!values.quick && values.engines === undefined) {
  writeFileSync(new URL("../results/queue.md", import.meta.url), report);
}
