import type { Run } from "@loom/hub/client";
import { sayDuration } from "../parts/say-time.ts";
import { useNow } from "../parts/time.tsx";

type Step = Run["steps"][number];

/** When each step waited, and when it ran, to one scale. */
export function RunTimeline({ run }: { run: Run }) {
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
          0 to {sayDuration(until - from)}; hatched is waiting, solid is running.
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
                  <span className="muted">{step.host ?? "no node"}</span>
                </th>
                <td className="timeline-lane">
                  <div>
                    <span className="bar bar-waiting" style={span(ready, started ?? ended)} />
                    {started !== null && (
                      <span className={`bar bar-${step.state}`} style={span(started, ended)} />
                    )}
                  </div>
                </td>
                <td className="number">{started === null ? "–" : sayDuration(ended - started)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

/** A step is ready when the last of those before it has ended. */
function momentsOf(step: Step, run: Run, until: number) {
  const needs = run.steps.filter((one) => step.after.includes(one.step));
  const ends = needs.map(({ finishedAt }) => (finishedAt ? Date.parse(finishedAt) : until));
  return {
    ready: Math.max(Date.parse(step.createdAt), ...ends),
    started: step.startedAt ? Date.parse(step.startedAt) : null,
    ended: step.finishedAt ? Date.parse(step.finishedAt) : until,
  };
}
