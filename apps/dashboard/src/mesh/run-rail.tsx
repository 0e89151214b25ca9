import { StateBadge } from "../parts/state-badge.tsx";
import { StrandMark, shortId } from "../parts/strand-mark.tsx";
import { Link, to } from "../router.tsx";
import type { Mesh, MeshRun } from "./mesh.ts";

/** Rows that a person looks through; the page of runs has all. */
const SHOWN = 12;

/** The strands: those under way first, then those that ended a moment ago. */
export function RunRail({
  mesh,
  onFocus,
}: {
  mesh: Mesh;
  /** Called with the run that is pointed at, and with null when none is any more. */
  onFocus: (runId: string | null) => void;
}) {
  const runs = [...mesh.runs.values()].sort(byTime);
  return (
    <section className="card" aria-labelledby="rail-runs">
      <h2 id="rail-runs">Strands</h2>
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
              <StrandMark runId={run.id} />
              <span className="rail-name">
                {run.workflow ?? "run"} <span className="mono muted">{shortId(run.id)}</span>
              </span>
              <StateBadge state={run.status} />
              <span className="rail-path muted">{pathOf(run)}</span>
            </Link>
          </li>
        ))}
      </ul>
      {runs.length > SHOWN && <Link href="/runs">and {runs.length - SHOWN} more</Link>}
    </section>
  );
}

const byTime = (one: MeshRun, other: MeshRun): number =>
  Number(other.status === "running") - Number(one.status === "running") ||
  other.createdAt.localeCompare(one.createdAt);

const pathOf = ({ path }: MeshRun): string =>
  path.length > 4 ? `… → ${path.slice(-3).join(" → ")}` : path.join(" → ") || "not on a node yet";
