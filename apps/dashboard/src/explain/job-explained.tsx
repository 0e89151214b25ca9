import type { JobExplanation } from "@loom/hub/client";
import { hub } from "../hub.ts";
import { Answer, Notice } from "../parts/notice.tsx";
import { Link } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { Cause, Explained } from "./explained.tsx";

/** Why a job is where it is, as the nodes are now. */
export function JobExplained({ id }: { id: number }) {
  const explained = useHub(
    `explain ${id}`,
    (call) => hub.explainJob(id, {}, call),
    ({ type, jobId }) => jobId === id || /^(node|workflow)\./.test(type),
  );
  const missing = (
    <Notice title={`There is no job ${id}`}>
      <p>
        What waits is in the <Link href="/queue">queue</Link>.
      </p>
    </Notice>
  );
  return (
    <Answer asked={explained} missing={missing}>
      {(data) => <Told explained={data} />}
    </Answer>
  );
}

function Told({ explained: { code, summary, holds, explanation } }: { explained: JobExplanation }) {
  const isHeld = explanation === null || explanation.code !== code;
  return (
    <>
      {isHeld && (
        <Cause code={code} summary={`It ${says(code, summary)}`} isGood={explanation === null}>
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

/** The hub's summary of a paused workflow begins with its noun. */
const says = (code: string, summary: string): string =>
  code === "paused_workflow" ? `waits: ${summary}` : summary;
