import { StateBadge, shortId, ThreadMark } from "../parts/marks.tsx";
import { Link, to } from "../router.tsx";
import { type MapRun, type MapState, stateOfRun } from "./state/map-state.ts";

/** Rows of the list. */
const SHOWN = 12;

/** The runs on the map: running ones first, then those that just finished. */
export function RunRail({
  map,
  onFocus,
}: {
  map: MapState;
  /** Called with the run under the pointer, and with null when there is none. */
  onFocus: (runId: string | null) => void;
}) {
  const runs = [...map.runs.values()].sort(byTime);
  return (
    <section className="card" aria-labelledby="rail-runs">
      <h2 id="rail-runs">Runs</h2>
      {runs.length === 0 && <p className="muted">Nothing runs. The last runs are under Runs.</p>}
      <ul className="rail-runs">
        {runs.slice(0, SHOWN).map((run) => (
          <li key={run.id}>
            <Link
              href={to("runs", run.id)}
              onMouseEnter={() => onFocus(run.id)}
              onMouseLeave={() => onFocus(null)}
              onFocus={() => onFocus(run.id)}
              onBlur={() => onFocus(null)}
            >
              <ThreadMark runId={run.id} />
              <span className="rail-name">
                {run.workflow ?? "run"} <span className="mono muted">{shortId(run.id)}</span>
              </span>
              <StateBadge state={stateOfRun(run)} />
              <span className={run.waits === null ? "rail-path muted" : "rail-path is-waiting"}>
                {run.waits ?? pathOf(run)}
              </span>
            </Link>
          </li>
        ))}
      </ul>
      {runs.length > SHOWN && <Link href="/runs">and {runs.length - SHOWN} more</Link>}
    </section>
  );
}

const byTime = (one: MapRun, other: MapRun): number =>
  Number(other.status === "running") - Number(one.status === "running") ||
  other.createdAt.localeCompare(one.createdAt);

const pathOf = ({ path }: MapRun): string =>
  path.length > 4 ? `… → ${path.slice(-3).join(" → ")}` : path.join(" → ") || "not on a node yet";
