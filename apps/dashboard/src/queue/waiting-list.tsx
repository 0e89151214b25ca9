import { isWaiting, type MapState } from "../map/state/map-state.ts";
import { Tags } from "../parts/marks.tsx";
import { Link } from "../router.tsx";

const SHOWN = 4;

/** The steps that no node has taken, in groups with their reasons. */
export function WaitingList({ map }: { map: MapState }) {
  // A step without a reason has not been placed yet: most have a node a moment later.
  const waiting = [...map.jobs.values()].filter((job) => isWaiting(job) && job.reason !== null);
  const groups = groupWaiting(waiting, ({ reason }) => reason);
  if (groups.length === 0) return null;
  return (
    <section className="card" aria-labelledby="rail-waiting">
      <h2 id="rail-waiting">Waiting</h2>
      <ul className="rail-waiting">
        {groups.slice(0, SHOWN).map(({ key, requires, reason, jobs }) => (
          <li key={key}>
            <Link href="/queue">
              <b>{jobs.length}</b> {jobs.length === 1 ? "step" : "steps"}
            </Link>{" "}
            <Tags tags={requires} />
            <p>
              {reason} {jobs[0] && <Link href={`/explain?job=${jobs[0].id}`}>Explain</Link>}
            </p>
          </li>
        ))}
      </ul>
      {groups.length > SHOWN && <Link href="/queue">and {groups.length - SHOWN} more reasons</Link>}
    </section>
  );
}

/** Steps with the same needs that wait for the same reason. */
export interface WaitingGroup<Job> {
  key: string;
  requires: readonly string[];
  reason: string | null;
  jobs: Job[];
}

/** Groups steps by needs and reason; the largest group comes first. */
export function groupWaiting<Job extends { requires: readonly string[] }>(
  jobs: Iterable<Job>,
  reasonOf: (job: Job) => string | null,
): WaitingGroup<Job>[] {
  const groups = new Map<string, WaitingGroup<Job>>();
  for (const job of jobs) {
    const reason = reasonOf(job);
    const key = JSON.stringify([job.requires, reason]);
    const group = groups.get(key) ?? { key, requires: job.requires, reason, jobs: [] };
    group.jobs.push(job);
    groups.set(key, group);
  }
  return [...groups.values()].sort((one, other) => other.jobs.length - one.jobs.length);
}
