import type { JobExplanation } from "@loom/client";
import { hub } from "../hub.ts";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Link } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { Cause, Explained } from "./explained.tsx";

/** Why a job has the state it has, as of now. */
export function JobExplained({ id }: { id: number }) {
  const explained = useHub(
    `explain ${id}`,
    (call) => hub.explainJob(id, {}, call),
    ({ type, jobId }) => jobId === id || /^(node|workflow)\./.test(type),
  );
  const missing = (
    <Notice title={`There is no job ${id}`}>
      <p>
        The <Link href="/queue">queue</Link> lists the steps that wait.
      </p>
    </Notice>
  );
  return (
    <Loaded query={explained} missing={missing}>
      {(data) => <Explanations explained={data} />}
    </Loaded>
  );
}

function Explanations({
  explained: { code, summary, holds, explanation },
}: {
  explained: JobExplanation;
}) {
  const isHeld = explanation === null || explanation.code !== code;
  return (
    <>
      {isHeld && (
        <Cause
          code={code}
          summary={`It ${predicateOf(code, summary)}`}
          isGood={explanation === null}
        >
          {holds.map((hold) => (
            <p key={hold.code} className="muted">
              {[hold.summary, hold.fix].filter(Boolean).join(": ")}
            </p>
          ))}
        </Cause>
      )}
      {explanation && isHeld && <h3>The nodes, for when it may run</h3>}
      {explanation && <Explained explanation={explanation} />}
    </>
  );
}

/** The hub's summary of a paused workflow is a sentence of its own. */
const predicateOf = (code: string, summary: string): string =>
  code === "paused_workflow" ? `waits: ${summary}` : summary;
