// npm run bench -- workflows [--quick] [--rounds 3] [--runs 1000] [--alone 50] [--absurd-schema FILE]
//
// Whole workflows: runs of three steps that do nothing, beside other engines that keep their steps in Postgres.
import { readFileSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { openDatabase, startCluster } from "@loom/local-db";
import { migrationScript } from "@loom/queue";
import { type Cost, costOf, cpuOf } from "../cost.ts";
import { describeRun, quantile, toFigure, toTable } from "../report.ts";
import { type Engine, type EngineKind, IN_FLIGHT } from "./engine.ts";
import { absurd } from "./engines/absurd.ts";
import { dbosInProcess, dbosQueued } from "./engines/dbos.ts";
import { loomDirect, loomRest } from "./engines/loom.ts";
import { openWorkflow } from "./engines/openworkflow.ts";

const { values } = parseArgs({
  options: {
    /** A minute instead of ten, for a look at the table. The results are not kept. */
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    runs: { type: "string" },
    /** How many runs are measured one at a time, on an idle system. */
    alone: { type: "string" },
    /** How many jobs Loom's worker claims ahead of its slots. */
    prefetch: { type: "string", default: String(IN_FLIGHT) },
    /** `sql/absurd.sql` of its repository: neither the package nor this one carries it. */
    "absurd-schema": { type: "string" },
  },
});
const defaults = values.quick
  ? { rounds: "1", runs: "100", alone: "5" }
  : { rounds: "3", runs: "1000", alone: "50" };
const [rounds, runs, alone] = (["rounds", "runs", "alone"] as const).map((name) =>
  Number(values[name] ?? defaults[name]),
) as [number, number, number];
const schemaFile = values["absurd-schema"];
const direct = loomDirect(Number(values.prefetch));
const KINDS = [
  direct,
  loomRest(Number(values.prefetch)),
  dbosInProcess,
  dbosQueued,
  ...(schemaFile ? [absurd(readFileSync(schemaFile, "utf8"))] : []),
  openWorkflow,
];

interface Measurement {
  readonly engine: string;
  readonly cost: Cost;
  /** Milliseconds from the start of a run to its end, with many in flight, and one at a time. */
  readonly together: readonly number[];
  readonly alone: readonly number[];
}

await using cluster = await startCluster({
  schema: await migrationScript(),
  settings: { fsync: "on", full_page_writes: "on", max_wal_size: "4GB", shared_buffers: "512MB" },
});
const measurements: Measurement[] = [];
for (let round = 0; round < rounds; round += 1) {
  for (const kind of KINDS) {
    measurements.push(await measure(kind));
    const { engine, cost } = measurements.at(-1) as Measurement;
    console.error(`round ${round}: ${engine}, ${toFigure(1e6 / cost.wall)} runs/s`);
  }
}

async function measure(kind: EngineKind): Promise<Measurement> {
  await using database = await openDatabase(cluster.info);
  const ended = new Map<number, () => void>();
  const engine = await kind.open(database, (run) => ended.get(run)?.());
  /** Starts a run, and waits until its last step begins. */
  const runOne = async (run: number) => {
    const lastStep = new Promise<void>((resolve) => ended.set(run, resolve));
    await engine.start(run);
    await lastStep;
  };
  try {
    await runOne(0);
    await untilEnded(engine, 1);
    const cost = await costOf(database, runs, async () => {
      const start = performance.now();
      const numbers = Array.from({ length: runs }, (_, index) => index + 1).values();
      const loop = async () => {
        for (const run of numbers) await runOne(run);
      };
      await Promise.all(Array.from({ length: IN_FLIGHT }, loop));
      await untilEnded(engine, runs + 1);
      return (performance.now() - start) / 1_000;
    });
    for (let run = runs + 1; run <= runs + alone; run += 1) {
      await runOne(run);
      // Its end is written meanwhile, and a worker that polls meets the next one at any moment of its interval.
      await sleep(100 + 200 * Math.random());
    }
    const [, ...durations] = await untilEnded(engine, 1 + runs + alone);
    const { name } = kind;
    return { engine: name, cost, together: durations.slice(0, runs), alone: durations.slice(runs) };
  } finally {
    await engine.close();
  }
}

async function untilEnded(engine: Engine, count: number): Promise<number[]> {
  for (;;) {
    const durations = (await engine.durations()).filter((taken) => taken !== null);
    if (durations.length === count) return durations;
    await sleep(10);
  }
}

const median = (numbers: readonly number[]) => quantile(numbers, 0.5);
const rowsOf = (engine: string) => measurements.filter((row) => row.engine === engine);
const table = toTable(
  ["", "runs a second", "p50 ms", "p99 ms", "alone, p50 ms", "p99 ms", "CPU ms", "log, KiB"],
  KINDS.map(({ name }) => {
    const rows = rowsOf(name);
    const speeds = rows.map(({ cost }) => 1e6 / cost.wall);
    const base = rowsOf(direct.name);
    const ratio = median(rows.map(({ cost }, round) => (base[round]?.cost.wall ?? 0) / cost.wall));
    const ms = (key: "together" | "alone", share: number) =>
      toFigure(
        quantile(
          rows.flatMap((row) => row[key]),
          share,
        ),
      );
    return [
      name,
      `${toFigure(median(speeds))}${name === direct.name ? "" : ` (${ratio.toFixed(2)}×)`}`,
      ...[ms("together", 0.5), ms("together", 0.99), ms("alone", 0.5), ms("alone", 0.99)],
      toFigure(median(rows.map(({ cost }) => cpuOf(cost) / 1_000))),
      toFigure(median(rows.map(({ cost }) => cost.wal / 1_024))),
    ];
  }),
);
const report = `# How fast are whole workflows, compared with others?

${describeRun(`npm run bench -- workflows ${process.argv.slice(2).join(" ")}`.trim())}.

${runs.toLocaleString("en-US")} runs of three steps that do nothing, ${IN_FLIGHT} of them in flight, against the same Postgres 18 (fsync on); each engine has its own
database, and its worker runs in the process that starts the runs. Then ${alone} runs one at a time. Engines ran in turn, in ${rounds} rounds. The
ratio of runs a second, in brackets, is the median of the ratios of each round. The milliseconds are from the start of a run to its end, by the
database's times.

${table}

CPU is the processor time of Postgres, client, worker and PostgREST for one run.
Each step of Loom is a job that any node could take: it is claimed and settled. The others run all steps of a run where the run was taken, and
write a checkpoint after each. Loom's worker runs ${IN_FLIGHT} steps at once, holds up to ${values.prefetch} more, and is woken, as a hub would wake
it; the others poll at their default pace, except for DBOS' queue, which polls every 50 ms and not each second.
${schemaFile ? "" : "\nabsurd is missing: its npm package does not carry its SQL schema. `--absurd-schema FILE` takes the `sql/absurd.sql` of its repository.\n"}`;
console.log(report);
if (!values.quick) writeFileSync(new URL("../results/workflows.md", import.meta.url), report);
