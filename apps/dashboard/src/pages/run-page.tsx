import type { Run } from "@loom/hub/client";
import { hub } from "../hub.ts";
import { ActButton } from "../parts/act-button.tsx";
import { Answer, Notice } from "../parts/notice.tsx";
import { StateBadge } from "../parts/state-badge.tsx";
import { StrandMark, shortId } from "../parts/strand-mark.tsx";
import { Ago, Took } from "../parts/time.tsx";
import { Link, navigate, setQuery, to, useAddress } from "../router.tsx";
import { RunCause } from "../run/run-cause.tsx";
import { RunEvents } from "../run/run-events.tsx";
import { RunLogs } from "../run/run-logs.tsx";
import { RunPlacement } from "../run/run-placement.tsx";
import { RunValues } from "../run/run-values.tsx";
import { RunWeave } from "../run/run-weave.tsx";
import { useMay } from "../session-context.tsx";
import { useHub } from "../use-hub.ts";

const TABS = {
  weave: RunWeave,
  logs: RunLogs,
  values: RunValues,
  events: RunEvents,
  placement: RunPlacement,
} as const;
type Tab = keyof typeof TABS;

/** One run: what it came to, why, and where. */
export function RunPage({ id }: { id: string }) {
  const run = useHub(
    `run ${id}`,
    (call) => hub.getRun(id, call),
    (event) => event.runId === id,
  );
  const missing = (
    <Notice title="There is no such run">
      <p>
        Runs are kept for 30 days. <Link href="/runs">All runs</Link>
      </p>
    </Notice>
  );
  return (
    <Answer asked={run} missing={missing}>
      {(data) => <OneRun run={data} />}
    </Answer>
  );
}

function OneRun({ run }: { run: Run }) {
  const { query } = useAddress();
  const tab = (Object.keys(TABS) as Tab[]).find((one) => one === query.get("tab")) ?? "weave";
  const Shown = TABS[tab];
  return (
    <>
      <header className="run-head">
        <h1>
          <StrandMark runId={run.id} />
          {run.workflow} <span className="mono muted">{shortId(run.id)}</span>
        </h1>
        <RunActs run={run} />
        <p className="facts">
          <StateBadge state={run.status} />
          <span>
            started <Ago at={run.createdAt} />
          </span>
          <span>
            {run.status === "running" ? "for" : "took"}{" "}
            <Took from={run.createdAt} until={run.finishedAt} />
          </span>
          <span>
            {run.trigger}
            {run.askedBy && ` by ${run.askedBy}`}
          </span>
          {run.retryOf && (
            <span>
              repeats <Link href={to("runs", run.retryOf)}>{shortId(run.retryOf)}</Link>
            </span>
          )}
        </p>
      </header>
      <RunCause run={run} />
      <div className="tabs" role="tablist" aria-label="What to see of the run">
        {(Object.keys(TABS) as Tab[]).map((one) => (
          <button
            key={one}
            type="button"
            role="tab"
            id={`tab-${one}`}
            aria-selected={one === tab}
            aria-controls="tab-panel"
            onClick={() => setQuery("tab", one)}
          >
            {one === "values" ? "input / output" : one}
          </button>
        ))}
      </div>
      <section role="tabpanel" id="tab-panel" aria-labelledby={`tab-${tab}`}>
        <Shown run={run} />
      </section>
    </>
  );
}

/** What may be done with a run, in the state that it is in. */
function RunActs({ run }: { run: Run }) {
  const mayRun = useMay("run");
  if (!mayRun) return null;
  if (run.status === "running") {
    const open = run.steps.filter(({ state }) => !["succeeded", "failed"].includes(state)).length;
    return (
      <ActButton
        kind="danger"
        confirm={`Cancel this run? ${open} of its ${run.steps.length} steps are not finished.`}
        act={() => hub.cancelRun(run.id)}
      >
        Cancel run
      </ActButton>
    );
  }
  const repeat = async (mode: "all" | "failed") => {
    const { runId } = await hub.retryRun(run.id, { mode });
    navigate(to("runs", runId));
  };
  return (
    <div className="row">
      {run.status !== "succeeded" && (
        <ActButton kind="main" act={() => repeat("failed")}>
          Retry what failed
        </ActButton>
      )}
      <ActButton act={() => repeat("all")}>Run again</ActButton>
    </div>
  );
}
