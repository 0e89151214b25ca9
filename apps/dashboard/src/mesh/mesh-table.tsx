import { StateBadge } from "../parts/state-badge.tsx";
import { StrandMark } from "../parts/strand-mark.tsx";
import { Link, to } from "../router.tsx";
import { jobsOn, type Mesh } from "./mesh.ts";

/** The map in words, for small screens and for whoever reads with something else than eyes. */
export function MeshTable({ mesh }: { mesh: Mesh }) {
  const nodes = [...mesh.nodes.values()].sort((one, other) => one.name.localeCompare(other.name));
  return (
    <ul className="mesh-table" aria-label="Nodes and what they run">
      {nodes.map((node) => {
        const jobs = jobsOn(mesh, node.name);
        return (
          <li key={node.name} className="card">
            <div className="row">
              <Link href={to("nodes", node.name)} className="strong">
                {node.name}
              </Link>
              <StateBadge
                state={
                  node.online ? (node.status === "active" ? "online" : node.status) : "offline"
                }
              />
              <span className="muted end">
                {jobs.length}/{node.slots} {node.slots === 1 ? "slot" : "slots"}
              </span>
            </div>
            {jobs.length > 0 && (
              <ul>
                {jobs.map((job) => (
                  <li key={job.id}>
                    {job.runId && <StrandMark runId={job.runId} />}
                    {job.workflow ?? "a step"}
                    {job.step && ` · ${job.step}`}
                  </li>
                ))}
              </ul>
            )}
          </li>
        );
      })}
    </ul>
  );
}
