import type { Run } from "@loom/hub/client";
import { JobExplained } from "../explain/job-explained.tsx";
import { hub } from "../hub.ts";
import { Answer } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Tags } from "../parts/tags.tsx";
import { useHub } from "../use-hub.ts";

/** As `@loom/scheduler` stores a placement with the job; read as what it may hold. */
interface Placement {
  node?: string;
  summary?: string;
  eligible?: { node: string; score: number }[];
  rejected?: { node: string; failures: { reason: string }[] }[];
}

const WITHOUT_NODE: ReadonlySet<string> = new Set(["blocked", "waiting", "pending"]);

/**
 * Why each step runs where it runs: what was chosen, and what spoke against every other node. Of a step that
 * has none yet, what speaks against each as it is now.
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
    <Answer asked={job}>
      {({ requires, placement, hostPinned, targetHost, ranOn }) => (
        <>
          <p>
            Needs <Tags tags={requires} none="nothing in particular" />
          </p>
          {hostPinned ? (
            <p>
              Pinned to <b>{targetHost ?? ranOn}</b>: no other node was asked.
            </p>
          ) : (
            <Verdicts placement={(placement ?? {}) as Placement} />
          )}
        </>
      )}
    </Answer>
  );
}

/** A table of nodes and what was said of each. */
function Verdicts({
  placement: { node, summary, eligible = [], rejected = [] },
}: {
  placement: Placement;
}) {
  if (eligible.length === 0 && rejected.length === 0) {
    return <p className="muted">{summary ?? "Not placed yet."}</p>;
  }
  return (
    <Rows heads={["Node", "Verdict"]}>
      {eligible.map((one) => (
        <tr key={one.node}>
          <td className="strong">{one.node}</td>
          <td>
            {one.node === node ? "chosen" : "fits"}, score {one.score.toFixed(2)}
          </td>
        </tr>
      ))}
      {rejected.map((one) => (
        <tr key={one.node}>
          <td>{one.node}</td>
          <td>{one.failures.map(({ reason }) => reason).join("; ")}</td>
        </tr>
      ))}
    </Rows>
  );
}
