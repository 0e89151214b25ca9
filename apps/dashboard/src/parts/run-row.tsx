import type { RunSummary } from "@loom/hub/client";
import { Link, to } from "../router.tsx";
import { StateBadge } from "./state-badge.tsx";
import { StrandMark, shortId } from "./strand-mark.tsx";
import { Ago, Took } from "./time.tsx";

/** A run as a row of a table. */
export function RunRow({ run }: { run: RunSummary }) {
  const total = Object.values(run.steps).reduce((sum, count) => sum + (count ?? 0), 0);
  return (
    <tr>
      <td>
        <StateBadge state={run.status} />
      </td>
      <td>
        <Link href={to("runs", run.id)} className="strong run-name">
          <StrandMark runId={run.id} />
          {run.workflow} <span className="mono muted">{shortId(run.id)}</span>
        </Link>
      </td>
      <td data-label="steps" className="number">
        {run.steps.succeeded ?? 0}/{total}
      </td>
      <td data-label="nodes">{run.nodes.join(", ") || "–"}</td>
      <td data-label="trigger">{run.trigger}</td>
      <td data-label="started">
        <Ago at={run.createdAt} />
      </td>
      <td data-label="took" className="number">
        <Took from={run.createdAt} until={run.finishedAt} />
      </td>
    </tr>
  );
}
