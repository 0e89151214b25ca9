import type { QueueEvent } from "@loom/queue";
import type { LinkFault } from "./fault-proxy.ts";
import type { Injected } from "./injector.ts";
import type { RoundOptions } from "./round.ts";
import { Tally } from "./tally.ts";

type LinkCounts = Readonly<Record<LinkFault, number>>;

/** What a round came to. */
export interface RoundReport {
  readonly options: RoundOptions;
  /** Jobs and steps that the producer added; redriven and retried ones come on top. */
  readonly added: number;
  readonly states: Readonly<Record<string, number>>;
  readonly loadSeconds: number;
  readonly drainSeconds: number;
  readonly checkSeconds: number;
  readonly events: readonly QueueEvent[];
  readonly calls: number;
  readonly injected: Injected;
  readonly links: {
    readonly http: LinkCounts;
    readonly direct: LinkCounts;
    readonly inner: LinkCounts;
  };
  /** What the workers' settles were answered, item by item … */
  readonly settled: Tally;
  /** … and the ghosts', and those that the proxy delivered again. */
  readonly haunted: Tally;
  readonly replayed: Tally;
  readonly violations: readonly string[];
  /** Every call of every client; kept only when something is wrong. */
  readonly logFolder: string;
}

const SHOWN_VIOLATIONS = 40;

/** The command that does the same again. */
export function commandOf({ minutes, seed, maxJobs }: RoundOptions): string {
  const jobs = Number.isFinite(maxJobs) ? ` --jobs ${maxJobs}` : "";
  return `npm run chaos -- --minutes ${minutes} --seed ${seed}${jobs}`;
}

/** The report as a Markdown table. */
export function formatReport(report: RoundReport): string {
  const { injected, links, states, events, violations } = report;
  const sum = (fault: LinkFault) => links.http[fault] + links.direct[fault] + links.inner[fault];
  const jobs = Object.values(states).reduce((total, count) => total + count, 0);
  const ends = new Tally();
  for (const [state, count] of Object.entries(states)) ends.add(state, count);
  const happened = new Tally();
  for (const { type } of events) happened.add(type);
  const rows: [string, number | string][] = [
    ["jobs", `${number(jobs)}: ${ends}`],
    [
      "duration",
      `${number(report.loadSeconds)} s under faults, ${number(report.drainSeconds)} s to drain, ${number(report.checkSeconds)} s to check`,
    ],
    ["jobs/s", jobs / (report.loadSeconds + report.drainSeconds)],
    ["workers killed (`kill -9`)", injected.kills],
    ["workers stopped beyond their lease", injected.freezes],
    ["Postgres restarts (immediate)", injected.postgresRestarts],
    ["PostgREST restarts", injected.postgrestRestarts],
    ["database backends killed", injected.backends],
    ["outages longer than a lease", injected.outages],
    ["answers lost after the commit", sum("lose-answer")],
    ["requests lost", sum("lose-request")],
    ["connections reset", sum("reset")],
    ["requests delayed", sum("delay")],
    ["connections half-open", sum("black-hole")],
    ["old requests delivered again", `${number(sum("replay"))}; their settles: ${report.replayed}`],
    ["settles of workers, answered", String(report.settled)],
    ["settles of ghosts, answered", String(report.haunted)],
    ["events", `${number(events.length)}: ${happened}`],
    ["calls checked", report.calls],
    ["violations", violations.length],
  ];
  return [
    "| | |",
    "| --- | --- |",
    ...rows.map(
      ([name, value]) => `| ${name} | ${typeof value === "number" ? number(value) : value} |`,
    ),
    ...(violations.length > 0 ? ["", ...violations.slice(0, SHOWN_VIOLATIONS)] : []),
  ].join("\n");
}

const number = (value: number) => Math.round(value).toLocaleString("en");
