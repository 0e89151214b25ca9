import { type FormEvent, useState } from "react";
import { hub } from "../hub.ts";
import { NoSuchWorkflow } from "../parts/no-such-workflow.tsx";
import { Answer } from "../parts/notice.tsx";
import { KNOWS, Tags } from "../parts/tags.tsx";
import { Link, navigate, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { Explained } from "./explained.tsx";

/** What is asked about: a workflow as it stands, or requirements that a person thinks of. */
export interface Question {
  workflow: string | null;
  requires: readonly string[];
  host: string | null;
}

const concernsNodes = ({ type }: { type: string }): boolean => type.startsWith("node.");

/** Asks what would become of something that nobody has started. The question is in the address. */
export function WhatIfForm({ question }: { question: Question }) {
  const strands = useHub("strands", (call) => hub.listStrands(call));
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
          {(strands.data?.data ?? []).map(({ name }) => (
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

/** Which node would take a step that requires this. */
export function RequirementsExplained({ requires, host }: Question) {
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
      <Answer asked={explained}>{(data) => <Explained explanation={data} />}</Answer>
    </section>
  );
}

/** The same of each step of a workflow; steps of equal needs are asked about once. */
export function WorkflowExplained({ name }: { name: string }) {
  const explained = useHub(`explain ${name}`, (call) => explainSteps(name, call), concernsNodes);
  return (
    <Answer asked={explained} missing={<NoSuchWorkflow name={name} />}>
      {(answers) =>
        answers.map(({ steps, isOpen, explanation }) => (
          <section key={steps.join()} className="card" aria-label={steps.join(", ")}>
            <h2>
              <Link href={to("workflows", name)}>{name}</Link> · {steps.join(", ")}
            </h2>
            {isOpen && <p className="muted">Each run's input decides on which node.</p>}
            <Explained explanation={explanation} />
          </section>
        ))
      }
    </Answer>
  );
}

async function explainSteps(name: string, call: { signal: AbortSignal }) {
  const strand = await hub.getStrand(name, call);
  const code = `${KNOWS}${strand.name}@${strand.version}`;
  const needs = new Map<
    string,
    { steps: string[]; isOpen: boolean; requires: string[]; host: string | null }
  >();
  for (const step of strand.steps) {
    const isOpen = step.host === "from input";
    const host = isOpen ? null : step.host;
    const requires = [...new Set([...strand.requires, ...step.requires, code])];
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
