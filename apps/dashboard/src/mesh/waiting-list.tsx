import { Tags } from "../parts/tags.tsx";
import { Link } from "../router.tsx";
import { groupWaiting } from "./group-waiting.ts";
import { isWaiting, type Mesh } from "./mesh.ts";

const SHOWN = 4;

/** The knots: what no node has taken, and why. */
export function WaitingList({ mesh }: { mesh: Mesh }) {
  // Without a reason a step was not looked at yet: most have a node a moment later.
  const waiting = [...mesh.jobs.values()].filter((job) => isWaiting(job) && job.reason !== null);
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
