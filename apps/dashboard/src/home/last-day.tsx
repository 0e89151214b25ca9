import type { Summary } from "@loom/client";
import { useLiveState } from "../live/live-context.tsx";
import { StateBadge } from "../parts/marks.tsx";
import { formatMoment } from "../parts/moment.ts";
import { Loaded } from "../parts/notice.tsx";
import { formatDuration, useNow } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import type { HubQuery } from "../use-hub.ts";
import { Failures } from "./failures.tsx";
import { BrokenFiles, FirstSteps } from "./first-steps.tsx";

const OUTCOMES = ["failed", "succeeded", "cancelled"] as const;

/** Shows the last day: first the problems with their causes, then the rest. */
export function LastDay({ summary }: { summary: HubQuery<Summary> }) {
  return (
    <section className="card last-day" aria-labelledby="last-day">
      <h2 id="last-day">The last day</h2>
      <Loaded query={summary}>
        {(data) => (
          <>
            <Outcomes runs={data.runs} />
            <BrokenFiles />
            <Failures failures={data.failures} onChange={summary.reload} />
            <Absences absences={data.absences} />
            <Unstarted slots={data.slots} />
            <FirstSteps hasRun={Object.keys(data.runs).length > 0} />
          </>
        )}
      </Loaded>
    </section>
  );
}

/** How many runs ended, by outcome. */
function Outcomes({ runs }: { runs: Summary["runs"] }) {
  const ended = OUTCOMES.filter((status) => (runs[status] ?? 0) > 0);
  if (ended.length === 0) return <p className="muted">No run ended.</p>;
  return (
    <p className="outcomes">
      {ended.map((status) => (
        <Link key={status} href={`/runs?status=${status}`}>
          <b>{runs[status]}</b> <StateBadge state={status} />
        </Link>
      ))}
      {runs.failed === undefined && <span className="muted">No run failed.</span>}
    </p>
  );
}

/** From this number on, a node's absences share one line. */
const MANY = 4;

/** Lists the nodes that were away or still are. */
function Absences({ absences }: { absences: Summary["absences"] }) {
  const { map } = useLiveState();
  const now = useNow();
  const byNode = Map.groupBy(absences, ({ node }) => node);
  // A node that left before the oldest kept event has no absence in the summary.
  for (const { name, online } of map.nodes.values()) {
    if (!online && !byNode.has(name)) byNode.set(name, []);
  }
  if (byNode.size === 0) return null;
  return (
    <div>
      <h3>Away</h3>
      <ul className="happenings">
        {[...byNode].map(([node, times]) => (
          <li key={node}>
            <Link href={to("nodes", node)} className="strong">
              {node}
            </Link>{" "}
            {describeAbsences(times, now)}
          </li>
        ))}
      </ul>
    </div>
  );
}

function describeAbsences(times: Summary["absences"], now: number): string {
  const [newest] = times;
  if (!newest) return "is away";
  if (times.length >= MANY) {
    const state = newest.until === null ? "and is away now" : "and is back";
    return `was away ${times.length} times, last from ${formatMoment(newest.from)}, ${state}`;
  }
  return times
    .map(({ from, until }) => {
      const ms = (until === null ? now : Date.parse(until)) - Date.parse(from);
      return until === null
        ? `is away since ${formatMoment(from)} (${formatDuration(ms)})`
        : `was away from ${formatMoment(from)} to ${formatMoment(until)} (${formatDuration(ms)})`;
    })
    .join(", ");
}

/** Lists the times at which a schedule was due and started nothing. */
function Unstarted({ slots }: { slots: Summary["slots"] }) {
  if (slots.length === 0) return null;
  return (
    <div>
      <h3>Schedules that did not start</h3>
      <ul className="happenings">
        {slots.map(({ scheduleId, decision, code, reason, count, firstAt, lastAt }) => (
          <li key={`${scheduleId} ${decision} ${code}`}>
            <Link href="/schedules" className="strong">
              {scheduleId}
            </Link>{" "}
            {count === 1
              ? `${decision} ${formatMoment(lastAt)}`
              : `${decision} ${count} times, ${formatMoment(firstAt)} to ${formatMoment(lastAt)}`}
            {reason && `: ${reason}`}
          </li>
        ))}
      </ul>
    </div>
  );
}
