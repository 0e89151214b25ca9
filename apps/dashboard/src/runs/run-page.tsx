import type { Run } from "@loom/client";
import { useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { RunBadge, shortId, ThreadMark } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { toPrintable } from "../parts/printable.ts";
import { Ago, Took } from "../parts/time.tsx";
import { Link, navigate, setQuery, to, useAddress } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { RunApprovals } from "./run-approvals.tsx";
import { RunEvents } from "./run-events.tsx";
import { RunFiles } from "./run-files.tsx";
import { RunLogs } from "./run-logs.tsx";
import { RunPlacement } from "./run-placement.tsx";
import { RunValues } from "./run-values.tsx";
import { RunWaits } from "./run-waits.tsx";
import { RunWeave } from "./run-weave.tsx";

const TABS = {
  weave: RunWeave,
  logs: RunLogs,
  values: RunValues,
  files: RunFiles,
  events: RunEvents,
  placement: RunPlacement,
} as const;
type Tab = keyof typeof TABS;

/** A run: its outcome, the reason for it, and its steps. */
export function RunPage({ id }: { id: string }) {
  const run = useHub(
    `run ${id}`,
    (call) => hub.getRun(id, call),
    (event) => event.runId === id,
  );
  const missing = (
    <Notice title="There is no such run">
      <p>
        Old runs are removed, after 30 days unless the workflow says otherwise.{" "}
        <Link href="/runs">All runs</Link>
      </p>
    </Notice>
  );
  return (
    <Loaded query={run} missing={missing}>
      {(data) => <OneRun run={data} />}
    </Loaded>
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
          <ThreadMark runId={run.id} />
          {run.workflow} <span className="mono muted">{shortId(run.id)}</span>
        </h1>
        <RunActions run={run} />
        <p className="facts">
          <RunBadge run={run} />
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
      <RunWaits run={run} />
      <RunApprovals run={run} />
      <div className="tabs" role="tablist" aria-label="Views of the run">
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

/** The actions that fit the run's state. */
function RunActions({ run }: { run: Run }) {
  const mayRun = useHasScope("run");
  if (!mayRun) return null;
  if (run.status === "running") {
    const open = run.steps.filter(({ state }) => !["succeeded", "failed"].includes(state)).length;
    return (
      <ActionButton
        kind="danger"
        confirm={`Cancel this run? ${open} of its ${run.steps.length} steps are not finished.`}
        action={() => hub.cancelRun(run.id)}
      >
        Cancel run
      </ActionButton>
    );
  }
  const repeat = async (mode: "all" | "failed") => {
    const { runId } = await hub.retryRun(run.id, { mode });
    navigate(to("runs", runId));
  };
  return (
    <div className="row">
      {run.status !== "succeeded" && (
        <ActionButton kind="main" action={() => repeat("failed")}>
          Retry what failed
        </ActionButton>
      )}
      <ActionButton action={() => repeat("all")}>Run again</ActionButton>
    </div>
  );
}

/** Why the run failed, or why it does not proceed. */
function RunCause({ run }: { run: Run }) {
  const failures = run.steps.filter(({ state, optional }) => state === "failed" && !optional);
  const failed = failures.find(({ omittedBytes }) => omittedBytes === null) ?? failures[0];
  if (failed) {
    return (
      <div className="cause cause-failed">
        <b>{failed.step}</b> failed{failed.host && ` on ${failed.host}`}:{" "}
        {formatError(failed.error)}
      </div>
    );
  }
  const waiting = run.steps.filter(({ state }) => state === "waiting");
  const [first] = waiting;
  if (!first) {
    return run.waitingReason && !WAITS.has(run.waitingReason.code) ? (
      <div className="cause cause-waiting">It waits: {run.waitingReason.summary}.</div>
    ) : null;
  }
  return (
    <div className="cause cause-waiting">
      <b>{first.step}</b> waits for a node:{" "}
      {first.waitingReason?.summary ?? run.waitingReason?.summary ?? "it is being placed"}.
      {waiting.length > 1 && ` So do ${waiting.length - 1} more.`}{" "}
      <Link href={`/explain?job=${first.id}`}>Explain</Link>
    </div>
  );
}

/** Reasons that have a place of their own on the page. */
const WAITS: ReadonlySet<string> = new Set(["sleep", "signal", "approval"]);

/** The message of a step's error; the whole error as JSON if it has none. */
const formatError = (error: unknown): string => toPrintable(messageOf(error));

function messageOf(error: unknown): string {
  if (typeof error === "string") return error;
  if (typeof error === "object" && error !== null && "message" in error) {
    return String(error.message);
  }
  return error === null || error === undefined ? "no error was recorded" : JSON.stringify(error);
}
