import { quantile, toFigure, toTable } from "../report.ts";
import type { Latency, Throughput } from "./load.ts";
import { parts } from "./start.ts";
import type { readMemory, Usage } from "./usage.ts";

/** How fast the hub answers one kind of request; milliseconds. */
export interface Answer {
  readonly title: string;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly failed: number;
}

/** Formats the results as a Markdown page. */
export function formatReport(options: {
  run: string;
  readySeconds: number;
  jobs: readonly Throughput[];
  runs: readonly Throughput[];
  jobsAlone: readonly Latency[];
  runsAlone: readonly Latency[];
  answers: readonly Answer[];
  rest: Usage;
  memory: ReturnType<typeof readMemory>;
  /** With this many more agents. */
  agents: number;
  busier: Usage;
}): string {
  const { run, readySeconds, jobs, runs, jobsAlone, runsAlone } = options;
  const { answers, rest, memory, agents, busier } = options;
  return `# How fast is the whole system, and what does it take?

${run}.

\`npm start\` with a data folder of its own: the hub with four slots, an agent with two, Postgres that keeps everything (fsync on) and
PostgREST. It was ready after ${readySeconds.toFixed(1)} s. Jobs and runs consist of steps that do nothing and that any node can run. Times
are those of the database; this process asks over the hub's API and listens to its stream of events.

## How much does it do?

${countOf(jobs)} jobs in one request, and ${countOf(runs)} runs of three steps with a request each; the median of the rounds.

${toTable(
  ["", "a second"],
  [
    ["jobs", toFigure(median(jobs.map(({ count, seconds }) => count / seconds)))],
    ["runs of three steps", toFigure(median(runs.map(({ count, seconds }) => count / seconds)))],
  ],
)}

## How soon is one done while nothing else runs? Milliseconds

${toTable(
  ["", "from the answer, p50", "p95", "from the request, p50", "p95"],
  [latencyRow("one job", jobsAlone), latencyRow("one run of three steps", runsAlone)],
)}

## What does one cost?

Milliseconds of processor time, and calls of the database. Steps are all processes that run authors' code.

${toTable(
  ["", ...parts, "all", "calls"],
  [
    costRow("one job of many", jobs),
    costRow("one run of many", runs),
    ["at rest, a minute", ...perMinute(rest)],
  ],
)}

The functions that ran, also those that others called, for each job, run and minute:

${toTable(
  ["", "calls"],
  [
    ["one job of many", functionsOf(jobs[0]?.usage, jobs[0]?.count ?? 1)],
    ["one run of many", functionsOf(runs[0]?.usage, runs[0]?.count ?? 1)],
    ["at rest, a minute", functionsOf(rest, rest.callSeconds / 60)],
  ],
)}

## How fast does the hub answer?

Ten connections with forty tokens.

${toTable(
  ["", "a second", "p50 ms", "p99 ms", "failed requests"],
  answers.map(({ title, perSecond, p50, p99, failed }) => [
    title,
    ...[toFigure(perSecond), String(p50), String(p99), String(failed)],
  ]),
)}

## How much memory does it take at rest?

PSS counts a page that several processes share in parts, one for each of them.

${toTable(
  ["", "processes", "PSS in MiB", "RSS in MiB"],
  [...parts, "all" as const].map((part) => {
    const rows = memory.filter((row) => part === "all" || row.part === part);
    const mib = (key: "pss" | "rss") =>
      (rows.reduce((sum, row) => sum + row[key], 0) / 1_024).toFixed(0);
    return [part, String(rows.length), mib("pss"), mib("rss")];
  }),
)}

## What do ${agents} more agents take that have nothing to do?

${toTable(
  ["", ""],
  [
    ["calls a second", toFigure(busier.calls / busier.callSeconds)],
    ...(["Postgres", "PostgREST", "hub"] as const).map((part) => [
      part,
      `${((100 * busier.cpu[part]) / busier.seconds).toFixed(1)} % of a core`,
    ]),
  ],
)}
`;
}

const median = (numbers: readonly number[]) => quantile(numbers, 0.5);
const countOf = ([first]: readonly Throughput[]) => (first?.count ?? 0).toLocaleString("en-US");

function latencyRow(name: string, latencies: readonly Latency[]): string[] {
  const of = (key: keyof Latency, share: number) =>
    toFigure(
      quantile(
        latencies.map((latency) => latency[key]),
        share,
      ),
    );
  return [
    name,
    ...[of("fromAnswer", 0.5), of("fromAnswer", 0.95)],
    ...[of("fromRequest", 0.5), of("fromRequest", 0.95)],
  ];
}

function costRow(name: string, measured: readonly Throughput[]): string[] {
  const of = (figure: (usage: Usage) => number) =>
    toFigure(median(measured.map(({ usage, count }) => figure(usage) / count)));
  return [
    name,
    ...parts.map((part) => of(({ cpu }) => 1_000 * cpu[part])),
    of((usage) => 1_000 * cpuOf(usage)),
    of(({ calls }) => calls),
  ];
}

const cpuOf = ({ cpu }: Usage): number => parts.reduce((sum, part) => sum + cpu[part], 0);

const perMinute = (usage: Usage): string[] => [
  ...parts.map((part) => toFigure((60_000 * usage.cpu[part]) / usage.seconds)),
  toFigure((60_000 * cpuOf(usage)) / usage.seconds),
  toFigure((60 * usage.calls) / usage.callSeconds),
];

const functionsOf = (usage: Usage | undefined, count: number): string =>
  (usage?.functions ?? [])
    .slice(0, 8)
    .map(({ name, calls }) => `\`${name}\` ${toFigure(calls / count)}`)
    .join(", ");
