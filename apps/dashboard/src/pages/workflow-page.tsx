import type { Strand } from "@loom/hub/client";
import { hub } from "../hub.ts";
import { ActButton } from "../parts/act-button.tsx";
import { NoSuchWorkflow } from "../parts/no-such-workflow.tsx";
import { Answer } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { sayDuration } from "../parts/say-time.ts";
import { StateBadge } from "../parts/state-badge.tsx";
import { Tags } from "../parts/tags.tsx";
import { Ago } from "../parts/time.tsx";
import { Link } from "../router.tsx";
import { RunForm } from "../run-form/run-form.tsx";
import { useMay } from "../session-context.tsx";
import { useHub } from "../use-hub.ts";

/** A workflow: what its steps need, and the form that runs it. */
export function WorkflowPage({ name }: { name: string }) {
  const strand = useHub(
    `strand ${name}`,
    (call) => hub.getStrand(name, call),
    ({ type, detail }) => type.startsWith("workflow.") && detail === name,
  );
  return (
    <Answer asked={strand} missing={<NoSuchWorkflow name={name} />}>
      {(data) => <OneWorkflow strand={data} onChange={strand.reload} />}
    </Answer>
  );
}

function OneWorkflow({ strand, onChange }: { strand: Strand; onChange: () => void }) {
  const mayRun = useMay("run");
  return (
    <>
      <div className="row spread">
        <h1>{strand.name}</h1>
        <PauseControl strand={strand} onChange={onChange} />
      </div>
      <p className="facts muted">
        <span>
          version <code>{strand.version.slice(0, 12)}</code>
        </span>
        <Link href={`/runs?workflow=${encodeURIComponent(strand.name)}`}>its runs</Link>
        <Link href={`/explain?what=workflow&workflow=${encodeURIComponent(strand.name)}`}>
          which nodes could run it
        </Link>
      </p>
      {strand.paused && (
        <div className="cause cause-waiting">
          <StateBadge state="paused" /> since <Ago at={strand.paused.since} />
          {strand.paused.note && `: ${strand.paused.note}`}. What runs goes on; nothing new is
          placed.
        </div>
      )}
      {mayRun && (
        <section className="card" aria-labelledby="run-it">
          <h2 id="run-it">Run it</h2>
          <RunForm workflow={strand.name} schema={strand.inputSchema} />
        </section>
      )}
      <h2>Steps</h2>
      <Rows heads={["Step", "After", "Needs", "Attempts", "Time limit"]}>
        {strand.steps.map((step) => (
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
              {sayDuration(step.timeoutMs)}
            </td>
          </tr>
        ))}
      </Rows>
    </>
  );
}

function PauseControl({
  strand: { name, paused },
  onChange,
}: {
  strand: Strand;
  onChange: () => void;
}) {
  const mayOperate = useMay("operate");
  if (!mayOperate) return null;
  return paused ? (
    <ActButton kind="main" act={() => hub.resumeStrand(name).then(onChange)}>
      Resume workflow
    </ActButton>
  ) : (
    <ActButton
      act={() => hub.pauseStrand(name).then(onChange)}
      confirm={`Pause ${name}? What runs goes on; its other steps wait until it is resumed.`}
    >
      Pause workflow
    </ActButton>
  );
}
