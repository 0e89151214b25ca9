import type { Explanation } from "@loom/hub/client";
import { Rows } from "../parts/rows.tsx";
import { StateBadge } from "../parts/state-badge.tsx";
import { Link, to } from "../router.tsx";
import { sayClause } from "./say-clause.ts";

type Report = Explanation["nodes"][number];
type Failure = Report["failures"][number];

/** Every clause asked of every node, what is wanted in the head and what was seen below; many nodes in groups. */
export function VerdictMatrix({ explanation }: { explanation: Explanation }) {
  return explanation.nodes.length > 0 ? (
    <ByNode explanation={explanation} />
  ) : (
    <ByGroup explanation={explanation} />
  );
}

function ByNode({ explanation: { clauses, nodes, known } }: { explanation: Explanation }) {
  const wanted = clauses.map(({ clause, met }) => ({
    clause,
    head: `${sayClause(clause)} · ${met} of ${known}`,
  }));
  return (
    <div className="matrix">
      <Rows heads={["Node", "Verdict", ...wanted.map(({ head }) => head), "Besides"]}>
        {nodes.toSorted(byFitness).map((node) => (
          <tr key={node.node}>
            <td>
              <Link href={to("nodes", node.node)} className="strong">
                {node.node}
              </Link>
            </td>
            <td>
              <StateBadge state={node.verdict} />
              {node.score !== null && (
                <span className="muted number"> score {node.score.toFixed(2)}</span>
              )}
            </td>
            {wanted.map(({ clause }) => (
              <td key={clause} data-label={sayClause(clause)}>
                <Seen node={node} clause={clause} />
              </td>
            ))}
            <td data-label="besides">{besides(node.failures) || "–"}</td>
          </tr>
        ))}
      </Rows>
    </div>
  );
}

/** What takes it first, then what least speaks against. */
const byFitness = (one: Report, other: Report): number =>
  (other.score ?? -1) - (one.score ?? -1) ||
  one.failures.length - other.failures.length ||
  one.node.localeCompare(other.node);

function Seen({ node: { clauses }, clause }: { node: Report; clause: string }) {
  const answer = clauses.find((one) => one.clause === clause);
  if (!answer) return "–";
  // What is wanted stands in the head.
  const seen = answer.seen
    .filter((one) => one !== clause)
    .map(sayClause)
    .join(", ");
  return (
    <span className={answer.met ? "clause clause-met" : "clause"}>
      <span aria-hidden="true">{answer.met ? "✓" : "✕"}</span>
      <span className="visually-hidden">{answer.met ? "met" : "not met"}</span>{" "}
      <span className="muted">{seen || (answer.met ? "" : "nothing of it")}</span>
    </span>
  );
}

/** What no clause says. */
const besides = (failures: readonly Failure[]): string =>
  failures
    .filter(({ clause }) => clause === undefined)
    .map(({ reason }) => reason)
    .join("; ");

function ByGroup({ explanation: { clauses, groups, known } }: { explanation: Explanation }) {
  return (
    <>
      {clauses.length > 0 && (
        <Rows heads={["Wanted", "Nodes that have it"]}>
          {clauses.map(({ clause, met }) => (
            <tr key={clause}>
              <td>
                <code>{sayClause(clause)}</code>
              </td>
              <td data-label="nodes" className="number">
                {met} of {known}
              </td>
            </tr>
          ))}
        </Rows>
      )}
      <Rows heads={["Nodes", "Verdict", "What speaks against them", "Such as"]}>
        {groups.map(({ verdict, failures, count, nodes }) => (
          <tr key={`${verdict} ${nodes[0]}`}>
            <td className="strong number">{count}</td>
            <td>
              <StateBadge state={verdict} />
            </td>
            <td data-label="against">
              {failures.map(({ reason }) => sayClause(reason)).join("; ") || "nothing"}
            </td>
            <td data-label="such as">
              {nodes.join(", ")}
              {count > nodes.length && " …"}
            </td>
          </tr>
        ))}
      </Rows>
    </>
  );
}
