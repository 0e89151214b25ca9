import { type FormEvent, useState } from "react";
import { hub } from "../hub.ts";
import { CODE_OF, Tags } from "../parts/marks.tsx";
import { Loaded } from "../parts/notice.tsx";
import { Link, navigate, to, useAddress } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { NoSuchWorkflow } from "../workflows/workflow-page.tsx";
import { Explained } from "./explained.tsx";
import { JobExplained } from "./job-explained.tsx";

/** Explains why a step does not run and what would have to change, for an existing job or a hypothetical one. */
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
      Checks every placement rule against every node as of now. The <Link href="/queue">queue</Link>{" "}
      also shows why each step waits.
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

/** A hypothetical step: of a workflow, or with requirements that the user types. */
interface Question {
  workflow: string | null;
  requires: readonly string[];
  host: string | null;
}

const concernsNodes = ({ type }: { type: string }): boolean => type.startsWith("node.");

/** The form for a hypothetical step. The question is in the address. */
function WhatIfForm({ question }: { question: Question }) {
  const workflows = useHub("workflows", (call) => hub.listStrands(call));
  const nodes = useHub("nodes", (call) => hub.listNodes(call));
  const [workflow, setWorkflow] = useState(question.workflow ?? "");

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const asked = new URLSearchParams({ what: workflow === "" ? "requirements" : "workflow" });
    for (const [name, value] of new FormData(event.currentTarget)) {
      if (value !== "") asked.set(name, String(value));
    }
    navigate(`/explain?${asked}`);
  };

  return (
    <form className="card what-if" onSubmit={submit}>
      <h2>What if</h2>
      <div className="field">
        <label htmlFor="what-if-workflow">What would run</label>
        <select
          id="what-if-workflow"
          name="workflow"
          value={workflow}
          onChange={({ target }) => setWorkflow(target.value)}
        >
          <option value="">a step with the requirements below</option>
          {(workflows.data?.data ?? []).map(({ name }) => (
            <option key={name} value={name}>
              the workflow {name}
            </option>
          ))}
        </select>
      </div>
      {workflow === "" && (
        <>
          <div className="field">
            <label htmlFor="what-if-requires">Requirements, one a line</label>
            <textarea
              id="what-if-requires"
              name="requires"
              rows={3}
              spellCheck={false}
              placeholder={"has-gpu\nmemory-gb>=16"}
              defaultValue={question.requires.join("\n")}
            />
          </div>
          <div className="field">
            <label htmlFor="what-if-host">Pinned to</label>
            <select id="what-if-host" name="host" defaultValue={question.host ?? ""}>
              <option value="">no node in particular</option>
              {(nodes.data?.data ?? []).map(({ name }) => (
                <option key={name}>{name}</option>
              ))}
            </select>
          </div>
        </>
      )}
      <button type="submit" className="main">
        Explain
      </button>
    </form>
  );
}

/** Which node would take a step with these requirements. */
function RequirementsExplained({ requires, host }: Question) {
  const asked = { requires, ...(host !== null && { host }) };
  const explained = useHub(
    `explain ${JSON.stringify(asked)}`,
    (call) => hub.explain(asked, call),
    concernsNodes,
  );
  return (
    <section className="card" aria-labelledby="what-if-answer">
      <h2 id="what-if-answer">
        A step that requires <Tags tags={requires} none="nothing" />
        {host !== null && ` on ${host}`}
      </h2>
      <Loaded query={explained}>{(data) => <Explained explanation={data} />}</Loaded>
    </section>
  );
}

/** The same for each step of a workflow; steps with equal requirements share one explanation. */
function WorkflowExplained({ name }: { name: string }) {
  const explained = useHub(`explain ${name}`, (call) => explainSteps(name, call), concernsNodes);
  return (
    <Loaded query={explained} missing={<NoSuchWorkflow name={name} />}>
      {(answers) =>
        answers.map(({ steps, isOpen, explanation }) => (
          <section key={steps.join()} className="card" aria-label={steps.join(", ")}>
            <h2>
              <Link href={to("workflows", name)}>{name}</Link> · {steps.join(", ")}
            </h2>
            {isOpen && <p className="muted">The input of each run decides on which node.</p>}
            <Explained explanation={explanation} />
          </section>
        ))
      }
    </Loaded>
  );
}

async function explainSteps(name: string, call: { signal: AbortSignal }) {
  const workflow = await hub.getStrand(name, call);
  const code = `${CODE_OF}${workflow.name}@${workflow.version}`;
  const needs = new Map<
    string,
    { steps: string[]; isOpen: boolean; requires: string[]; host: string | null }
  >();
  for (const step of workflow.steps) {
    const isOpen = step.host === "from input";
    const host = isOpen ? null : step.host;
    const requires = [...new Set([...workflow.requires, ...step.requires, code])];
    const key = JSON.stringify([requires, host]);
    const need = needs.get(key) ?? { steps: [], isOpen, requires, host };
    need.steps.push(step.name);
    needs.set(key, need);
  }
  return Promise.all(
    [...needs.values()].map(async ({ steps, isOpen, requires, host }) => ({
      steps,
      isOpen,
      explanation: await hub.explain({ requires, ...(host !== null && { host }) }, call),
    })),
  );
}
