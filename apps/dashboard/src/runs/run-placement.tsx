import type { Run } from "@loom/client";
import { JobExplained } from "../explain/job-explained.tsx";
import { hub } from "../hub.ts";
import { Tags } from "../parts/marks.tsx";
import { Loaded } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { useHub } from "../use-hub.ts";

/** A placement as the hub stores it with the job. Every field may be missing. */
interface Placement {
  node?: string;
  /** The number of nodes that fit, and the best of them. */
  eligible?: number;
  best?: { node: string; score: number }[];
  /** `free`: all nodes that fit were full, and this one had a free slot first. */
  decidedBy?: "score" | "name" | "only" | "free";
}

const WITHOUT_NODE: ReadonlySet<string> = new Set(["blocked", "mapping", "waiting", "pending"]);

/**
 * Why each step runs where it runs: the chosen node, and why each other node was rejected. For a step
 * without a node, the same as of now.
 */
export function RunPlacement({ run }: { run: Run }) {
  return run.steps.map((step) => (
    <section key={step.id} className="card placement">
      <h2>{step.step}</h2>
      {WITHOUT_NODE.has(step.state) ? (
        <JobExplained id={step.id} />
      ) : (
        <StepPlacement id={step.id} />
      )}
    </section>
  ));
}

function StepPlacement({ id }: { id: number }) {
  const job = useHub(
    `job ${id}`,
    (call) => hub.getJob(id, call),
    (event) => event.jobId === id,
  );
  return (
    <Loaded query={job}>
      {({ requires, placement, hostPinned, targetHost, ranOn }) => (
        <>
          <p>
            Needs <Tags tags={requires} none="nothing in particular" />
          </p>
          {hostPinned ? (
            <p>
              Pinned to <b>{targetHost ?? ranOn}</b>: no other node was considered.
            </p>
          ) : (
            <Candidates placement={(placement ?? {}) as Placement} />
          )}
        </>
      )}
    </Loaded>
  );
}

/** A table of the nodes that fit, with the score of each. */
function Candidates({
  placement: { node, eligible = 0, best = [], decidedBy },
}: {
  placement: Placement;
}) {
  if (decidedBy === "free") {
    return (
      <p>
        All nodes that fit were full, and <b>{node}</b> had a free slot first.
      </p>
    );
  }
  if (best.length === 0) return <p className="muted">Not placed yet.</p>;
  return (
    <>
      <Rows heads={["Node", "Result"]}>
        {best.map((one) => (
          <tr key={one.node}>
            <td className="strong">{one.node}</td>
            <td>
              {one.node === node ? "chosen" : "fits"}, score {one.score.toFixed(2)}
            </td>
          </tr>
        ))}
      </Rows>
      {eligible > best.length && (
        <p className="muted">{eligible - best.length} more nodes fit as well.</p>
      )}
    </>
  );
}
