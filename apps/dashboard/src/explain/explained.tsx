import type { Explanation } from "@loom/hub/client";
import type { ReactNode } from "react";
import { Link, to } from "../router.tsx";
import { sayClause } from "./say-clause.ts";
import { VerdictMatrix } from "./verdict-matrix.tsx";

/** Why a step has no node, or which one takes it: in one line, with what would help, and node by node. */
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
      {known > 0 && <VerdictMatrix explanation={explanation} />}
    </div>
  );
}

/** The one line that answers, with the code that programs go by. */
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
      <p className="explained-summary">{sayClause(summary)}</p>
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
      Nobody knows <code>{written}</code>
    </dt>
    <dd>
      perhaps <code>{names.join(", ")}</code> is meant
    </dd>
  </>
);
