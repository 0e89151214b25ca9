import type { StrandSummary, WorkflowProblem } from "@loom/client";
import { INIT } from "../home/first-steps.tsx";
import { hub } from "../hub.ts";
import { CopyLine } from "../parts/copy-line.tsx";
import { StateBadge, Tags } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Link, to } from "../router.tsx";
import { StepGraph } from "../runs/step-graph.tsx";
import { useHub } from "../use-hub.ts";

/** All workflows of the hub. */
export function WorkflowsPage() {
  const workflows = useHub(
    "workflows",
    (call) => hub.listStrands(call),
    ({ type }) => type.startsWith("workflow."),
  );
  return (
    <>
      <h1>Workflows</h1>
      <Loaded query={workflows}>
        {({ data, problems, loading }) => (
          <>
            {problems.map((problem) => (
              <BrokenFile
                key={`${problem.file}:${problem.line}:${problem.message}`}
                problem={problem}
              />
            ))}
            {loading.length > 0 && <p className="muted">Still importing {loading.join(", ")}</p>}
            {data.length === 0 ? (
              <Notice title="The hub knows no workflow">
                <p>Make a folder for yours, and start the hub with it:</p>
                <CopyLine text={INIT} label="the command" />
              </Notice>
            ) : (
              <ul className="cards">
                {data.map((workflow) => (
                  <WorkflowCard key={workflow.name} workflow={workflow} />
                ))}
              </ul>
            )}
          </>
        )}
      </Loaded>
    </>
  );
}

const CARD = { width: 92, height: 26, gapX: 22, gapY: 8 };

function WorkflowCard({ workflow }: { workflow: StrandSummary }) {
  const { name, steps, requires, schedule, paused } = workflow;
  return (
    <li className="card workflow-card">
      <h2>
        <Link href={to("workflows", name)}>{name}</Link>
      </h2>
      {paused && <StateBadge state="paused" />}
      <StepGraph
        steps={steps.map(({ name, after }) => ({ step: name, after }))}
        size={CARD}
        label={`Steps of ${name}`}
      >
        {({ step, after }, place) => (
          <div key={step} className="step-name" style={place} title={step}>
            {step}
            {after.length > 0 && <span className="visually-hidden"> after {after.join(", ")}</span>}
          </div>
        )}
      </StepGraph>
      <p>
        <Tags tags={requires} />
      </p>
      {schedule && (
        <p>
          <code>{schedule.expression}</code> <span className="muted">{schedule.timeZone}</span>
        </p>
      )}
    </li>
  );
}

/** A file that cannot be used: where it is broken, and the code there. */
function BrokenFile({ problem }: { problem: WorkflowProblem }) {
  const { file, line, column, frame, message, fix } = problem;
  const place = [line, column].filter((each) => each !== null).join(":");
  return (
    <section className="broken-file" aria-label={`${file} is broken`}>
      <h2>
        <StateBadge state="fail" />{" "}
        <span className="mono">{place ? `${file}:${place}` : file}</span>
      </h2>
      <p>{message}</p>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      {frame !== null && <pre tabIndex={0}>{frame}</pre>}
      {fix !== undefined && <p>{fix}</p>}
      <p className="muted">
        Workflows of the file that could be used before keep their last good version.
      </p>
    </section>
  );
}
