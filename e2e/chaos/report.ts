import type { LinkFault } from "./fault-proxy.ts";
import { type RoundOptions, type RoundReport, Tally } from "./round.ts";

const SHOWN_VIOLATIONS = 40;

/** The command that repeats this round. */
export function commandOf({ minutes, seed, maxJobs }: RoundOptions): string {
  const jobs = Number.isFinite(maxJobs) ? ` --jobs ${maxJobs}` : "";
  return `npm run chaos -- --minutes ${minutes} --seed ${seed}${jobs}`;
}

/** Formats the report as a Markdown table. */
export function formatReport(report: RoundReport): string {
  const { injected, links, states, events, violations } = report;
  const sum = (fault: LinkFault) => links.http[fault] + links.direct[fault] + links.inner[fault];
  const jobs = Object.values(states).reduce((total, count) => total + count, 0);
  const finalStates = new Tally();
  for (const [state, count] of Object.entries(states)) finalStates.add(state, count);
  const eventTypes = new Tally();
  for (const { type } of events) eventTypes.add(type);
  const rows: [string, number | string][] = [
    ["jobs", `${number(jobs)}: ${finalStates}`],
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
    [
      "old requests delivered again",
      `${number(sum("replay"))}; answers to their settles: ${report.replayed}`,
    ],
    ["answers to settles of workers", String(report.settled)],
    ["answers to settles of ghosts", String(report.ghostSettled)],
    ["events", `${number(events.length)}: ${eventTypes}`],
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
