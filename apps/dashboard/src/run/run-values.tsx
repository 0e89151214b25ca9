import type { Run } from "@loom/hub/client";
import { JsonView } from "../parts/json-view.tsx";

/** What the run was given, and what every step gave back. */
export function RunValues({ run }: { run: Run }) {
  return (
    <>
      <h2>Input</h2>
      <JsonView label="input" value={run.input} />
      <h2>Results</h2>
      {run.steps.map((step) => (
        <details key={step.id} open={step.state === "succeeded" || step.state === "failed"}>
          <summary>
            {step.step} <span className="muted">{step.state}</span>
          </summary>
          {step.state === "succeeded" ? (
            <JsonView label={`result of ${step.step}`} value={step.result} />
          ) : (
            <JsonView label={`error of ${step.step}`} value={step.error} />
          )}
        </details>
      ))}
    </>
  );
}
