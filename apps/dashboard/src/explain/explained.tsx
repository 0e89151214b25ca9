import type { Explanation } from "@loom/client";
import type { ReactNode } from "react";
import { StateBadge } from "../parts/marks.tsx";
import { Rows } from "../parts/rows.tsx";
import { Link, to } from "../router.tsx";

/** Why a step has no node, or which node takes it: a summary, a fix, and whether each node can take it. */
export function Explained({ explanation }: { explanation: Explanation }) {
  const { code, summary, known, eligible, nearest, fix, didYouMean } = explanation;
  return (
    <div className="explained">
      <Cause code={code} summary={summary} isGood={eligible > 0} />
      <dl className="explained-facts">
        {nearest && (
          <>
            <dt>Nearest</dt>
            <dd>
              <Link href={to("nodes", nearest.node)} className="strong">
                {nearest.node}
              </Link>{" "}
              {nearest.failures.map(({ reason }) => reason).join("; ")}
            </dd>
          </>
        )}
        {fix && (
          <>
            <dt>Would help</dt>
            <dd>{fix}</dd>
          </>
        )}
        {didYouMean.map(({ written, known: names }) => (
          <MeantInstead key={written} written={written} names={names} />
        ))}
      </dl>
      {known > 0 && <EligibilityMatrix explanation={explanation} />}
    </div>
  );
}

/** The summary, with its code for programs. */
export function Cause({
  code,
  summary,
  isGood = false,
  children,
}: {
  code: string;
  summary: string;
  isGood?: boolean;
  children?: ReactNode;
}) {
  return (
    <div className={isGood ? "cause cause-good" : "cause cause-waiting"}>
      <p className="explained-summary">{formatClause(summary)}</p>
      <p>
        <code className="tag">{code}</code>
      </p>
      {children}
    </div>
  );
}

const MeantInstead = ({ written, names }: { written: string; names: readonly string[] }) => (
  <>
    <dt>
      Unknown: <code>{written}</code>
    </dt>
    <dd>
      perhaps <code>{names.join(", ")}</code> is meant
    </dd>
  </>
);

type Report = Explanation["nodes"][number];
type Failure = Report["failures"][number];

/** A table of nodes and clauses. Many nodes are shown in groups. */
function EligibilityMatrix({ explanation }: { explanation: Explanation }) {
  return explanation.nodes.length > 0 ? (
    <ByNode explanation={explanation} />
  ) : (
    <ByGroup explanation={explanation} />
  );
}

function ByNode({ explanation: { clauses, nodes, known } }: { explanation: Explanation }) {
  const wanted = clauses.map(({ clause, met }) => ({
    clause,
    head: `${formatClause(clause)} · ${met} of ${known}`,
  }));
  return (
    <div className="matrix">
      <Rows heads={["Node", "Eligibility", ...wanted.map(({ head }) => head), "Other reasons"]}>
        {nodes.toSorted(byFitness).map((node) => (
          <tr key={node.node}>
            <td>
              <Link href={to("nodes", node.node)} className="strong">
                {node.node}
              </Link>
            </td>
            <td>
              <StateBadge state={node.eligibility} />
              {node.score !== null && (
                <span className="muted number"> score {node.score.toFixed(2)}</span>
              )}
            </td>
            {wanted.map(({ clause }) => (
              <td key={clause} data-label={formatClause(clause)}>
                <Seen node={node} clause={clause} />
              </td>
            ))}
            <td data-label="other reasons">{otherReasons(node.failures) || "–"}</td>
          </tr>
        ))}
      </Rows>
    </div>
  );
}

/** Best score first, then fewest failures. */
const byFitness = (one: Report, other: Report): number =>
  (other.score ?? -1) - (one.score ?? -1) ||
  one.failures.length - other.failures.length ||
  one.node.localeCompare(other.node);

function Seen({ node: { clauses }, clause }: { node: Report; clause: string }) {
  const answer = clauses.find((one) => one.clause === clause);
  if (!answer) return "–";
  // The head of the column already shows the clause.
  const seen = answer.seen
    .filter((one) => one !== clause)
    .map(formatClause)
    .join(", ");
  return (
    <span className={answer.met ? "clause clause-met" : "clause"}>
      <span aria-hidden="true">{answer.met ? "✓" : "✕"}</span>
      <span className="visually-hidden">{answer.met ? "met" : "not met"}</span>{" "}
      <span className="muted">{seen || (answer.met ? "" : "missing")}</span>
    </span>
  );
}

/** Reasons that belong to no clause. */
const otherReasons = (failures: readonly Failure[]): string =>
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
                <code>{formatClause(clause)}</code>
              </td>
              <td data-label="nodes" className="number">
                {met} of {known}
              </td>
            </tr>
          ))}
        </Rows>
      )}
      <Rows heads={["Nodes", "Eligibility", "Reasons against", "Such as"]}>
        {groups.map(({ eligibility, failures, count, nodes }) => (
          <tr key={`${eligibility} ${nodes[0]}`}>
            <td className="strong number">{count}</td>
            <td>
              <StateBadge state={eligibility} />
            </td>
            <td data-label="against">
              {failures.map(({ reason }) => formatClause(reason)).join("; ") || "nothing"}
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

/** The version of a workflow's code is a digest; its beginning is enough to identify it. */
const VERSION = /\bworkflow:([\w.-]+)@([0-9a-f]{12})[0-9a-f]*/g;

/** Shortens the digests in a clause, a capability or a sentence. */
const formatClause = (text: string): string => text.replaceAll(VERSION, "code of $1 @$2");
