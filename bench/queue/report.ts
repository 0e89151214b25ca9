import { type Cost, cpuOf } from "../cost.ts";
import { median, toFigure, toTable } from "../report.ts";
import type { BacklogLatency } from "./backlog.ts";
import { LOOPS } from "./engine.ts";
import { loomDirect } from "./engines/loom.ts";
import type { Measurement } from "./measure.ts";
import type { RunCost } from "./runs.ts";
import { compareEngines, formatTargets } from "./targets.ts";

/** Formats the results as a Markdown page. */
export function formatReport(options: {
  run: string;
  jobs: number;
  /** The names of the engines, in the order of the tables. */
  engines: readonly string[];
  measurements: readonly Measurement[];
  backlogs: readonly BacklogLatency[];
  runs: readonly RunCost[];
}): string {
  const { run, jobs, engines, measurements, backlogs, runs } = options;
  const sizes = [...new Set(measurements.map(({ inputBytes }) => inputBytes))];
  return `# How fast is the queue, compared with others?

${run}.

All engines ran against the same Postgres 18 (fsync on, autovacuum off), each on its own database, with ${toFigure(jobs)} jobs (a tenth
of that with batch 1, half with batch 10). They ran in turn, in rounds. A ratio is the median of the ratios of each round, so that other work
on the machine, which slows all engines, hardly changes it. The client is one Node process, except for pgbench. Each engine first
adds and drains as many jobs without being timed, so that every connection has made calls before. pgbench connects anew each time: the
first ten transactions of its connections are not counted in the time, and are in the processor time.

## How do the figures compare with the targets?

A ratio says how many jobs Loom does in the time in which the other does one. Unless it says otherwise, a job is claimed and
settled. "By CPU time" is the same ratio from the processor time of Postgres, client and PostgREST together. Inputs have ${Math.min(...sizes)} bytes.

${formatTargets(measurements, backlogs)}

${sizes.map((inputBytes) => formatSize(measurements, { inputBytes, engines })).join("\n\n")}

graphile-worker runs 24 concurrent jobs instead of loops. Its local queue locks a batch and writes completions together. graphile-worker and pgmq
delete finished jobs; neither they nor pgbench keep a history. pgmq's statements (send, read, delete) are those that Supabase Queues offers; its own
function for the API deletes one message a call, this one a batch. Over PostgREST, Loom has the client of its hubs and agents (\`createHttpQueue\`), and pgmq
has supabase-js.

## How long does one call take beside a backlog? Milliseconds over a direct connection, p50 (p99)

As many jobs wait for a node as are offered to 100 nodes. Dead rows come from jobs that were claimed and settled. A ratio is to the shortest backlog in
the same state.

${formatBacklogs(backlogs)}

## What does a step of a run cost? Microseconds a step, over a direct connection

Runs are started four at a time; their steps are claimed and settled 100 at a time.

${toTable(
  ["", "start", "CPU of Postgres", "claim and settle", "CPU of Postgres", "log, bytes"],
  distinct(runs.map(({ shape }) => shape)).map((shape) => {
    const of = (figure: (cost: RunCost) => number) =>
      toFigure(median(runs.filter((row) => row.shape === shape).map(figure)));
    return [
      shape,
      of(({ start }) => start.wall),
      of(({ start }) => start.server),
      of(({ drain }) => drain.wall),
      of(({ drain }) => drain.server),
      of(({ start, drain }) => start.wal + drain.wal),
    ];
  }),
)}
`;
}

const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)];

/** The tables of one size of inputs. */
function formatSize(
  all: readonly Measurement[],
  { inputBytes, engines }: { inputBytes: number; engines: readonly string[] },
): string {
  const measurements = all.filter((row) => row.inputBytes === inputBytes);
  const batches = distinct(measurements.map(({ batch }) => batch));
  const at = (engine: string, batch: number) =>
    measurements.filter((row) => row.engine === engine && row.batch === batch);

  const perBatch = (cell: (rows: readonly Measurement[], batch: number) => string) =>
    toTable(
      ["", ...batches.map((batch) => `batch ${batch}`)],
      engines
        .filter((engine) => batches.some((batch) => at(engine, batch).length > 0))
        .map((engine) => [
          engine,
          ...batches.map((batch) => {
            const rows = at(engine, batch);
            return rows.length === 0 ? "–" : cell(rows, batch);
          }),
        ]),
    );
  /** Jobs a second, and how many times as many as Loom. */
  const speed = (phase: "enqueue" | "drain") =>
    perBatch((rows, batch) => {
      const speeds = rows.map((row) => 1e6 / row[phase].wall);
      const ours = rows[0]?.engine ?? "";
      const pair = { ours, theirs: loomDirect.name, batch, inputBytes, phase };
      const ratio = compareEngines(measurements, { ...pair, figure: ({ wall }) => wall });
      const shown = toFigure(median(speeds));
      return ours === loomDirect.name || Number.isNaN(ratio)
        ? shown
        : `${shown} (${ratio.toFixed(2)}×)`;
    });
  const parts = (phase: "enqueue" | "drain") =>
    perBatch((rows) => {
      const of = (figure: (cost: Cost) => number) =>
        toFigure(median(rows.map((row) => figure(row[phase]))));
      return `${of(cpuOf)} = ${of(({ server }) => server)} + ${of(({ client }) => client)} + ${of(({ postgrest }) => postgrest)}`;
    });
  const bytes = (figure: (row: Measurement) => number) =>
    perBatch((rows) => toFigure(median(rows.map(figure))));

  return `## Inputs of ${inputBytes} bytes

### How many jobs a second are enqueued, one call after the other?

The ratio to \`${loomDirect.name}\` is in brackets.

${speed("enqueue")}

### How many jobs a second are claimed and settled by ${LOOPS} concurrent loops?

${speed("drain")}

### How much processor time does it take to claim and settle a job, in microseconds?

All = Postgres + client + PostgREST.

${parts("drain")}

### How much does it take to enqueue one?

${parts("enqueue")}

### How many bytes of the log does a job take, from enqueueing to its end?

${bytes((row) => row.enqueue.wal + row.drain.wal)}

### How many bytes does a job take on disk, with its indexes?

Waiting.

${bytes((row) => row.waitingBytes)}

Finished, after a vacuum. A vacuum gives little back to the file system, so for an engine that deletes its jobs it is space for the next ones.

${bytes((row) => row.finishedBytes)}`;
}

function formatBacklogs(backlogs: readonly BacklogLatency[]): string {
  const least = Math.min(...backlogs.map(({ jobs }) => jobs));
  return toTable(
    ["offered jobs", "state", "claim of one", "ratio", "empty claim", "reading waiting jobs"],
    backlogs.map(({ jobs, state, claim, emptyClaim, listWaiting }) => {
      const base = backlogs.find((row) => row.jobs === least && row.state === state);
      const [one, empty, list] = [claim, emptyClaim, listWaiting].map(
        ({ p50, p99 }) => `${p50.toFixed(2)} (${p99.toFixed(2)})`,
      );
      const ratio = (claim.p50 / (base?.claim.p50 ?? Number.NaN)).toFixed(2);
      return [
        toFigure(jobs).replace(/\.0+$/, ""),
        state,
        one ?? "",
        ratio,
        empty ?? "",
        list ?? "",
      ];
    }),
  );
}
