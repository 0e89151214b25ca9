import { toFigure, toTable } from "../table.ts";
import type { ClaimLatency } from "./claim-latency.ts";
import { LOOPS } from "./engine.ts";
import type { Throughput } from "./throughput.ts";

/** The result as a page of Markdown. */
export function formatReport(options: {
  run: string;
  jobs: number;
  throughput: readonly Throughput[];
  claims: readonly ClaimLatency[];
}): string {
  const { run, jobs, throughput, claims } = options;
  const engines = [...new Set(throughput.map(({ engine }) => engine))];
  const batches = [...new Set(throughput.map(({ batch }) => batch))];
  const at = (engine: string, batch: number) => {
    const [first, ...others] = throughput.filter(
      (row) => row.engine === engine && row.batch === batch,
    );
    return first && bestOf([first, ...others]);
  };
  const ours = "@loom/queue, direct";

  /** One row an engine: the figure for each batch, and how it stands to ours. */
  const compare = (figure: (row: Throughput) => number | null) =>
    engines.map((engine) => [
      engine,
      ...batches.map((batch) => {
        const row = at(engine, batch);
        const value = row && figure(row);
        if (value === undefined || value === null) return "–";
        const base = at(ours, batch);
        const ratio = base && engine !== ours ? value / (figure(base) ?? Number.NaN) : null;
        return ratio === null ? toFigure(value) : `${toFigure(value)} (${ratio.toFixed(2)}×)`;
      }),
    ]);
  const head = ["", ...batches.map((batch) => `batch ${batch}`)];

  return `# The queue beside its peers

${run}.

The same Postgres 18 (fsync on) in one run; every engine on a database of its own, ${toFigure(jobs)} jobs with 60 bytes of payload (a quarter
of that with batch 1). The best of each engine's rounds. In brackets: the ratio to \`${ours}\`. The client is one Node process, except for pgbench.

## Enqueue, jobs a second, one call after the other

${toTable(
  head,
  compare((row) => row.enqueued),
)}

## Claim and settle, jobs a second, ${LOOPS} loops at once

${toTable(
  head,
  compare((row) => row.settled),
)}

graphile-worker has 24 concurrent jobs instead of loops; its local queue locks a batch and writes completions together. It and pgbench
keep no history; it deletes what is done.

## What was aimed for

${compareTargets(at, claims)}

Where throughput falls short, it is for want of processor time, which client and server share here: with everything in memory the engines are no quicker without waiting for
the disk (\`synchronous_commit\` off). A profile of a claim and a settle of 100 jobs is flat. Half of it is the two updates of wide rows with their
indexes and constraints, and the two events; a third is JSON in and out and an answer for each item; no single part is a tenth. What the events
cost is the difference to the row without them. graphile-worker deletes what is done, and keeps neither result, history nor fence. Over PostgREST every call is
a transaction of several statements of its own, and its JSON is read and written twice.

## Bytes a job on disk, indexes included

${toTable(
  ["", "waiting", "finished, before vacuum"],
  engines.map((engine) => {
    const row = at(engine, batches.at(-1) ?? 0);
    return [engine, toFigure(row?.waitingBytes ?? 0), toFigure(row?.finishedBytes ?? 0)];
  }),
)}

## One call with a backlog, milliseconds, direct connection: p50 (p99)

As many jobs are offered as are waiting for a node besides.

${toTable(
  ["offered jobs", "nodes", "dead rows", "claim of one", "empty claim", "reading what waits"],
  claims.map(({ jobs: count, nodes, dead, claim, emptyClaim, listWaiting }) => [
    count.toLocaleString("en-US"),
    nodes.toLocaleString("en-US"),
    `${Math.round(dead * 100)} %`,
    ...[claim, emptyClaim, listWaiting].map(
      ({ p50, p99 }) => `${p50.toFixed(2)} (${p99.toFixed(2)})`,
    ),
  ]),
)}
`;
}

/** What was aimed for, and what it came to. */
function compareTargets(
  at: (engine: string, batch: number) => Throughput | undefined,
  claims: readonly ClaimLatency[],
): string {
  const BATCH = 100;
  const settled = (engine: string) => at(engine, BATCH)?.settled ?? Number.NaN;
  const p50 = (jobs: number | undefined) =>
    claims.find((row) => row.jobs === jobs && row.dead === 0)?.claim.p50 ?? Number.NaN;
  const sizes = claims.map(({ jobs }) => jobs);
  const ratios: [string, number, string][] = [
    [
      "PostgREST to pg-boss, direct",
      settled("@loom/queue, PostgREST") / settled("pg-boss 12"),
      "≥ 1.5",
    ],
    [
      "direct to graphile-worker with its local queue",
      settled("@loom/queue, direct") / settled("graphile-worker 0.18, local queue"),
      "≥ 1.0",
    ],
    [
      "direct to the raw statements",
      settled("@loom/queue, direct") / settled("raw SQL, pgbench"),
      "≥ 0.7",
    ],
    [
      "claim of one: longest backlog to shortest",
      p50(Math.max(...sizes)) / p50(Math.min(...sizes)),
      "≤ 1.5",
    ],
  ];
  return toTable(
    ["ratio, at batch 100", "measured", "aimed for"],
    ratios.map(([name, value, target]) => [name, value.toFixed(2), target]),
  );
}

/** The best figure of each kind: what else the machine did can only have made the others worse. */
function bestOf([first, ...others]: readonly [Throughput, ...Throughput[]]): Throughput {
  const settled = [first, ...others].flatMap((row) => row.settled ?? []);
  return {
    ...first,
    enqueued: Math.max(first.enqueued, ...others.map((row) => row.enqueued)),
    settled: settled.length === 0 ? null : Math.max(...settled),
  };
}
