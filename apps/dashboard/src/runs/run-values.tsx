import { describeSkip, type Run } from "@loom/client";
import { useState } from "react";
import { hub } from "../hub.ts";
import { JsonView } from "../parts/json-view.tsx";
import { Loaded } from "../parts/notice.tsx";
import { useHub } from "../use-hub.ts";

/** The run's input and each step's result or error. */
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
          {step.omittedBytes !== null ? (
            <Omitted jobId={step.id} bytes={step.omittedBytes} />
          ) : step.state === "skipped" ? (
            <p className="muted">Skipped: {describeSkip(step.skipReason)}.</p>
          ) : step.state === "succeeded" ? (
            <JsonView label={`result of ${step.step}`} value={step.result} />
          ) : (
            <JsonView label={`error of ${step.step}`} value={step.error} />
          )}
        </details>
      ))}
    </>
  );
}

/** A value that the run's response leaves out for its size; loaded on request. */
function Omitted({ jobId, bytes }: { jobId: number; bytes: number }) {
  const [isWanted, want] = useState(false);
  if (isWanted) return <WholeValue jobId={jobId} />;
  return (
    <p>
      {(bytes / 1_048_576).toFixed(1)} MiB: left out because the run's results are large together.{" "}
      <button type="button" onClick={() => want(true)}>
        Show
      </button>
    </p>
  );
}

function WholeValue({ jobId }: { jobId: number }) {
  const job = useHub(`job ${jobId}`, (call) => hub.getJob(jobId, call));
  return (
    <Loaded query={job}>
      {({ step, state, result, error }) => (
        <JsonView
          label={`${state === "succeeded" ? "result" : "error"} of ${step}`}
          value={state === "succeeded" ? result : error}
        />
      )}
    </Loaded>
  );
}
