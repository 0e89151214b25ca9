import { JobExplained } from "../explain/job-explained.tsx";
import {
  type Question,
  RequirementsExplained,
  WhatIfForm,
  WorkflowExplained,
} from "../explain/what-if.tsx";
import { hub } from "../hub.ts";
import { Link, to, useAddress } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** Why something does not run, and what would have to change: of a step there is, or of one there might be. */
export function ExplainPage() {
  const { query } = useAddress();
  const job = Number(query.get("job"));
  const question: Question = {
    workflow: query.get("workflow"),
    requires: (query.get("requires") ?? "").split("\n").flatMap((line) => line.trim() || []),
    host: query.get("host"),
  };
  return (
    <>
      <h1>Explain</h1>
      {Number.isSafeInteger(job) && job > 0 ? (
        <OneJob id={job} />
      ) : (
        <Answered question={question} isAsked={query.has("what")} />
      )}
      <WhatIfForm key={query.toString()} question={question} />
    </>
  );
}

function Answered({ question, isAsked }: { question: Question; isAsked: boolean }) {
  if (question.workflow !== null) return <WorkflowExplained name={question.workflow} />;
  if (isAsked) return <RequirementsExplained {...question} />;
  return (
    <p className="muted">
      Every rule by which steps are placed, asked of every node as it is now. Why a step waits is
      also with each in the <Link href="/queue">queue</Link>.
    </p>
  );
}

function OneJob({ id }: { id: number }) {
  const { data } = useHub(`job ${id}`, (call) => hub.getJob(id, call));
  return (
    <section className="card" aria-labelledby="explained-job">
      <div className="row spread">
        <h2 id="explained-job">{data ? `${data.workflow} · ${data.step}` : `Job ${id}`}</h2>
        {data?.runId && <Link href={to("runs", data.runId)}>Its run</Link>}
      </div>
      <JobExplained id={id} />
    </section>
  );
}
