import { describeItems, describeSkip, type Run } from "@loom/client";
import { StateBadge, Tags } from "../parts/marks.tsx";
import { formatDuration, Took, useNow } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { RunItems } from "./run-items.tsx";
import { StepWait } from "./run-waits.tsx";
import { StepGraph } from "./step-graph.tsx";

const CARD = { width: 188, height: 98, gapX: 46, gapY: 20 };

/** The order of the steps, and below it when each waited and ran. */
export function RunWeave({ run }: { run: Run }) {
  return (
    <>
      <Steps run={run} />
      <RunTimeline run={run} />
      {run.steps.map((step) => step.items && <RunItems key={step.id} runId={run.id} step={step} />)}
    </>
  );
}

function Steps({ run }: { run: Run }) {
  return (
    <StepGraph
      steps={run.steps}
      size={CARD}
      label="Steps in order"
      lineClass={({ state }) => `need-${state}`}
    >
      {(step, place) => (
        <article key={step.id} className={`step step-${step.state}`} style={place}>
          <h3 title={step.step}>{step.step}</h3>
          <p className="row">
            <StateBadge state={step.state} />
            {step.attempt > 1 && <span className="muted">attempt {step.attempt}</span>}
          </p>
          <p className="step-where">
            {step.state === "skipped" ? (
              <span className="muted">{describeSkip(step.skipReason)}</span>
            ) : step.state === "suspended" ? (
              <StepWait step={step} />
            ) : step.items ? (
              <span className="number">{describeItems(step.items)}</span>
            ) : step.host ? (
              <Link href={to("nodes", step.host)}>{step.host}</Link>
            ) : (
              <Tags tags={step.requires} />
            )}
            {step.startedAt && (
              <span className="muted number">
                <Took from={step.startedAt} until={step.finishedAt} />
              </span>
            )}
          </p>
        </article>
      )}
    </StepGraph>
  );
}

type Step = Run["steps"][number];

/** When each step waited and ran, on one time scale. */
function RunTimeline({ run }: { run: Run }) {
  const now = useNow();
  const from = Date.parse(run.createdAt);
  const until = Math.max(run.finishedAt ? Date.parse(run.finishedAt) : now, from + 1);
  const share = (at: number) =>
    `${Math.min(100, Math.max(0, (100 * (at - from)) / (until - from)))}%`;
  const span = (begin: number, end: number) => ({
    left: share(begin),
    width: `calc(${share(end)} - ${share(begin)})`,
  });
  return (
    <div className="timeline">
      <table>
        <caption className="muted">
          0 to {formatDuration(until - from)}; hatched is waiting, solid is running.
        </caption>
        <thead className="visually-hidden">
          <tr>
            <th scope="col">Step</th>
            <th scope="col">When</th>
            <th scope="col">Ran for</th>
          </tr>
        </thead>
        <tbody>
          {run.steps.map((step) => {
            const { ready, started, ended } = momentsOf(step, run, until);
            return (
              <tr key={step.id}>
                <th scope="row">
                  {step.step}
                  <span className="muted">
                    {step.items ? describeItems(step.items) : (step.host ?? "no node")}
                  </span>
                </th>
                <td className="timeline-lane">
                  <div>
                    <span className="bar bar-waiting" style={span(ready, started ?? ended)} />
                    {started !== null && (
                      <span className={`bar bar-${step.state}`} style={span(started, ended)} />
                    )}
                  </div>
                </td>
                <td className="number">
                  {started === null ? "–" : formatDuration(ended - started)}
                </td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** A step is ready when the last step before it has ended. */
function momentsOf(step: Step, run: Run, until: number) {
  const needs = run.steps.filter((one) => step.after.includes(one.step));
  const ends = needs.map(({ finishedAt }) => (finishedAt ? Date.parse(finishedAt) : until));
  return {
    ready: Math.max(Date.parse(step.createdAt), ...ends),
    started: step.startedAt ? Date.parse(step.startedAt) : null,
    ended: step.finishedAt ? Date.parse(step.finishedAt) : until,
  };
}
