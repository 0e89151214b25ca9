import type { Strand } from "@loom/client";
import { useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { StateBadge, Tags } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago, formatDuration } from "../parts/time.tsx";
import { Link } from "../router.tsx";
import { StepGraph } from "../runs/step-graph.tsx";
import { useHub } from "../use-hub.ts";
import { RunForm } from "./run-form.tsx";

const CARD = { width: 170, height: 72, gapX: 40, gapY: 16 };

/** A workflow: its steps with their requirements, and the form that runs it. */
export function WorkflowPage({ name }: { name: string }) {
  const workflow = useHub(
    `workflow ${name}`,
    (call) => hub.getStrand(name, call),
    ({ type, detail }) => type.startsWith("workflow.") && detail === name,
  );
  return (
    <Loaded query={workflow} missing={<NoSuchWorkflow name={name} />}>
      {(data) => <OneWorkflow workflow={data} onChange={workflow.reload} />}
    </Loaded>
  );
}

function OneWorkflow({ workflow, onChange }: { workflow: Strand; onChange: () => void }) {
  const mayRun = useHasScope("run");
  return (
    <>
      <div className="row spread">
        <h1>{workflow.name}</h1>
        <PauseControl workflow={workflow} onChange={onChange} />
      </div>
      <p className="facts muted">
        <span>
          version <code>{workflow.version.slice(0, 12)}</code>
        </span>
        <Link href={`/runs?workflow=${encodeURIComponent(workflow.name)}`}>its runs</Link>
        <Kept {...workflow.retention} />
        <Notified notify={workflow.notify} />
        <Link href={`/explain?what=workflow&workflow=${encodeURIComponent(workflow.name)}`}>
          which nodes could run it
        </Link>
      </p>
      {workflow.paused && (
        <div className="cause cause-waiting">
          <StateBadge state="paused" /> since <Ago at={workflow.paused.since} />
          {workflow.paused.note && `: ${workflow.paused.note}`}. Running steps continue; nothing new
          is placed.
        </div>
      )}
      {mayRun && (
        <section className="card" aria-labelledby="run-it">
          <h2 id="run-it">Run it</h2>
          <RunForm workflow={workflow.name} schema={workflow.inputSchema} />
        </section>
      )}
      <h2>Steps</h2>
      <StepGraph
        steps={workflow.steps.map((step) => ({ ...step, step: step.name }))}
        size={CARD}
        label="Steps in order"
      >
        {(step, place) => (
          <article key={step.name} className="step" style={place}>
            <h3 title={step.name}>{step.name}</h3>
            <p className="step-where">
              {step.host === null ? <Tags tags={step.requires} /> : `on ${step.host}`}
            </p>
          </article>
        )}
      </StepGraph>
      <Rows heads={["Step", "After", "Needs", "Attempts", "Time limit"]}>
        {workflow.steps.map((step) => (
          <tr key={step.name}>
            <td className="strong">{step.name}</td>
            <td data-label="after">{step.after.join(", ") || "–"}</td>
            <td data-label="needs">
              <Tags tags={step.requires} />
              {step.host && ` on ${step.host}`}
            </td>
            <td data-label="attempts" className="number">
              {step.attempts}
            </td>
            <td data-label="time limit" className="number">
              {formatDuration(step.timeoutMs)}
            </td>
          </tr>
        ))}
      </Rows>
    </>
  );
}

/** How long finished runs are kept. */
function Kept({ succeededMs, failedMs }: Strand["retention"]) {
  const span = formatDuration;
  return (
    <span>
      {succeededMs === failedMs
        ? `runs are kept for ${span(failedMs)}`
        : `runs are kept for ${span(succeededMs)}, failed ones for ${span(failedMs)}`}
    </span>
  );
}

/** The hooks that it notifies by itself. */
function Notified({ notify }: Pick<Strand, "notify">) {
  const said = Object.entries(notify ?? {});
  if (said.length === 0) return null;
  return (
    <span>notifies {said.map(([rule, hooks]) => `${hooks.join(", ")} of ${rule}`).join("; ")}</span>
  );
}

function PauseControl({
  workflow: { name, paused },
  onChange,
}: {
  workflow: Strand;
  onChange: () => void;
}) {
  const mayOperate = useHasScope("operate");
  if (!mayOperate) return null;
  return paused ? (
    <ActionButton kind="main" action={() => hub.resumeStrand(name).then(onChange)}>
      Resume workflow
    </ActionButton>
  ) : (
    <ActionButton
      action={() => hub.pauseStrand(name).then(onChange)}
      confirm={`Pause ${name}? Running steps continue; its other steps wait until it is resumed.`}
    >
      Pause workflow
    </ActionButton>
  );
}

/** Shown in place of a workflow that does not exist. */
export const NoSuchWorkflow = ({ name }: { name: string }) => (
  <Notice title={`The hub knows no workflow ${name}`}>
    <p>
      <Link href="/workflows">All workflows</Link>
    </p>
  </Notice>
);
