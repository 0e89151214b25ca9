// npm run bench -- maps [--quick] [--rounds 3] [--items 10000] [--fan-out 1000] [--absurd-schema FILE]
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import {
  type ClusterInfo,
  copyDatabase,
  type DatabaseCopy,
  openDatabase,
  startCluster,
} from "@loom/local-db";
import { migrationScript, type Queue } from "@loom/queue";
import { createPostgresQueue } from "@loom/queue/postgres";
import { planRun } from "@loom/scheduler";
import { type AnyWorkflow, defineWorkflow } from "@loom/workflow";
import { connectDirectly } from "../connect.ts";
import { type Cost, costOf, cpuOf } from "../cost.ts";
import { describeRun, quantile, toFigure, toTable } from "../report.ts";
import { absurd, dbos, type FanOut, IN_FLIGHT, loom } from "./engines.ts";

const { values } = parseArgs({
  options: {
    /** A few seconds instead of minutes, for a look at the tables. The results are not kept. */
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    items: { type: "string" },
    /** How many items a list has that other engines run as well. */
    "fan-out": { type: "string" },
    /** `sql/absurd.sql` of its repository: neither the package nor this one carries it. */
    "absurd-schema": { type: "string" },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 1 : 3));
const items = Number(values.items ?? (values.quick ? 1_000 : 10_000));
const fanOut = Number(values["fan-out"] ?? (values.quick ? 100 : 1_000));
const schemaFile = values["absurd-schema"];
const BATCH = 500;
const NODE = "forge";

const listing = defineWorkflow({ name: "films" }).step(
  "list",
  { host: NODE },
  async (): Promise<{ path: string; size: number }[]> => [],
);
const mapped = (concurrency?: number): AnyWorkflow =>
  listing.map(
    "encode",
    { over: "list", key: "path", host: NODE, ...(concurrency !== undefined && { concurrency }) },
    async ({ key }) => key,
  );
const film = (index: number) => ({ path: `film-${index}.mkv`, size: 123_456_789 });

interface Measured {
  what: string;
  cost: Cost;
}

/** A node that claims and settles. Each claim takes a higher number. */
async function join(queue: Queue) {
  const report = { name: NODE, leaseMs: 600_000, capabilities: [], slots: 10_000 };
  const { epoch } = await queue.hello({ ...report, incarnation: crypto.randomUUID() });
  let seq = 0;
  /** @returns How many jobs there were. */
  const work = async (result: (id: number) => unknown, limit = BATCH): Promise<number> => {
    seq += 1;
    const claimed = await queue.claim({ node: NODE, epoch }, { seq, limit });
    const jobs = claimed.session === "live" ? claimed.jobs : [];
    await queue.settle(
      NODE,
      jobs.map(({ id, fence }) => ({
        id,
        fence,
        outcome: "succeeded",
        result: result(id) as string,
      })),
    );
    return jobs.length;
  };
  return { work };
}

async function measure(database: DatabaseCopy, queue: Queue): Promise<Measured[]> {
  const { work } = await join(queue);
  const measured: Measured[] = [];
  const keep = async (what: string, jobs: number, call: () => Promise<void>) => {
    const cost = await costOf(database, jobs, async () => {
      const since = performance.now();
      await call();
      return (performance.now() - since) / 1_000;
    });
    measured.push({ what, cost });
    console.error(what, cost);
  };
  const drain = async () => {
    for (let done = 0; done < items; ) done += await work((id) => ({ out: `${id}.mp4` }));
  };

  await keep("single jobs: added, 500 in a call", items, async () => {
    for (let from = 0; from < items; from += BATCH) {
      const part = Array.from({ length: Math.min(BATCH, items - from) }, (_, at) =>
        film(from + at),
      );
      await queue.enqueue(
        part.map((input) => ({ workflow: "films", step: "encode", host: NODE, input })),
      );
    }
  });
  await keep("single jobs: claimed and settled", items, drain);
  const list = Array.from({ length: items }, (_, index) => film(index));
  await queue.startRun(planRun(listing));
  await keep("a step with the list as its result, and no map: settled", 1, async () => {
    await work(() => list, 1);
  });
  for (const [name, concurrency] of [
    ["map", undefined],
    ["map with a limit of 500", BATCH],
  ] as const) {
    await queue.startRun(planRun(mapped(concurrency)));
    await keep(`${name}: the step that lists is settled`, 1, async () => {
      await work(() => list, 1);
    });
    await keep(`${name}: items made`, items, async () => {
      while ((await queue.expandMaps()).more);
    });
    await keep(`${name}: items claimed and settled`, items, drain);
  }
  return measured;
}

/** A list that is run by an engine from its start to the last result, on an idle system. */
async function measureEngine(info: ClusterInfo, kind: FanOut): Promise<Measured> {
  await using database = await openDatabase(info);
  const engine = await kind.open(database);
  const runAll = async (count: number) => {
    const ended = await engine.run(count);
    if (ended !== count) throw new Error(`${kind.name} ran ${ended} items of ${count}`);
  };
  try {
    await runAll(5);
    const cost = await costOf(database, fanOut, async () => {
      const since = performance.now();
      await runAll(fanOut);
      return (performance.now() - since) / 1_000;
    });
    console.error(kind.name, cost);
    return { what: kind.name, cost };
  } finally {
    await engine.close();
  }
}

const cluster = await startCluster({ schema: await migrationScript() });
const kinds = [loom, dbos, ...(schemaFile ? [absurd(readFileSync(schemaFile, "utf8"))] : [])];
const all: Measured[] = [];
const beside: Measured[] = [];
for (let round = 0; round < rounds; round += 1) {
  await using database = await copyDatabase(cluster.info);
  const { client, close } = connectDirectly(database, 1);
  try {
    all.push(...(await measure(database, createPostgresQueue({ sql: client, timeoutMs: 60_000 }))));
  } finally {
    await close();
  }
}
await cluster.stop();

const durable = await startCluster({
  schema: await migrationScript(),
  settings: { fsync: "on", full_page_writes: "on", max_wal_size: "4GB", shared_buffers: "512MB" },
});
for (let round = 0; round < rounds; round += 1) {
  for (const kind of kinds) beside.push(await measureEngine(durable.info, kind));
}
await durable.stop();

const tableOf = (measured: readonly Measured[], figures: readonly ((cost: Cost) => number)[]) =>
  [...Map.groupBy(measured, ({ what }) => what)].map(([what, of]) => [
    what,
    ...figures.map((figure) =>
      toFigure(
        quantile(
          of.map(({ cost }) => figure(cost)),
          0.5,
        ),
      ),
    ),
  ]);
const rows = tableOf(all, [
  ({ wall }) => wall,
  ({ server }) => server,
  ({ wal }) => wal,
  ({ wall }) => 1e6 / wall,
]);
const peers = tableOf(beside, [
  ({ wall }) => 1e6 / wall,
  (cost) => cpuOf(cost),
  ({ server }) => server,
  ({ wal }) => wal,
]);
const command = `npm run bench -- maps ${process.argv.slice(2).join(" ")}`.trim();
const report = `# What does an item of a map cost?

A list of ${items.toLocaleString("en-US")} items beside as many single jobs with the same inputs and results, over one direct connection, 500 in each claim and settle.
A row is for one job. A step that lists is one job with all items as its result. Figures are the medians of the rounds.

${toTable(["", "wall µs", "server CPU µs", "WAL bytes", "per second"], rows)}

An item is made at about the cost of a job that is added, and settled at about the cost of a step of a run: its run is locked, and the counts of its
step are written once in each call. Settling the step that lists costs the same with and without a map: its result is checked. With a limit, an item is written once more when its turn comes.

## How does it compare with others?

A list of ${fanOut.toLocaleString("en-US")} items that do nothing, from the start of its run to a step that has all results. Each engine has its own database on
the same Postgres 18 (fsync on), and a worker in this process that runs ${IN_FLIGHT} items at once. Engines ran in turn. A row is for one item, with its share of the run.

${toTable(["", "items a second", "CPU µs", "of it Postgres", "WAL bytes"], peers)}

Each item is a job of its own. With Loom it names its node, so that the cost of placing it is not in these figures. With DBOS it is a child workflow of one step in a queue, which is polled every 50 ms and not each
second; with absurd it is a task of one step in a queue of its own, because a task cannot wait for one of its own queue. In both, the run starts its children
one after the other and reads their results, as their documentation does it. Loom makes the items in the database and collects the results there.
${schemaFile ? "" : "\nabsurd is missing: its npm package does not carry its SQL schema. `--absurd-schema FILE` takes the `sql/absurd.sql` of its repository.\n"}
${describeRun(command)}.
`;
console.log(report);
if (!values.quick) writeFileSync(new URL("../results/maps.md", import.meta.url), report);
