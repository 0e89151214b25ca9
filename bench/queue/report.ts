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

/** The best figure of each kind: what else the machine did can only have made the others worse. */
function bestOf([first, ...others]: readonly [Throughput, ...Throughput[]]): Throughput {
  const settled = [first, ...others].flatMap((row) => row.settled ?? []);
  return {
    ...first,
    enqueued: Math.max(first.enqueued, ...others.map((row) => row.enqueued)),
    settled: settled.length === 0 ? null : Math.max(...settled),
  };
}
