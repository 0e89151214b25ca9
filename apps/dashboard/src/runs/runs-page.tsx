import type { Page, RunQuery, RunSummary } from "@loom/client";
import { useState } from "react";
import { hub } from "../hub.ts";
import { RunBadge, shortId, ThreadMark } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago, Took } from "../parts/time.tsx";
import { Link, setQuery, to, useAddress } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { RunStarter } from "./run-starter.tsx";

const STATUSES = ["running", "succeeded", "failed", "cancelled"] as const;
const TRIGGERS = ["manual", "api", "schedule"] as const;

/** All runs, newest first. The filters are in the address. */
export function RunsPage() {
  const { query } = useAddress();
  const filter = filterOf(query);
  const key = JSON.stringify(filter);
  return (
    <>
      <div className="row spread">
        <h1>Runs</h1>
        <RunStarter />
      </div>
      <Filters query={query} />
      <RunPages key={key} filter={filter} />
    </>
  );
}

/** The filter in the address, without invalid values. */
function filterOf(query: URLSearchParams): RunQuery {
  const status = STATUSES.find((one) => one === query.get("status"));
  const trigger = TRIGGERS.find((one) => one === query.get("trigger"));
  const workflow = query.get("workflow");
  return { ...(status && { status }), ...(trigger && { trigger }), ...(workflow && { workflow }) };
}

function Filters({ query }: { query: URLSearchParams }) {
  const workflows = useHub("workflows", (call) => hub.listStrands(call));
  const names = (workflows.data?.data ?? []).map(({ name }) => name);
  return (
    <search className="row filters">
      <Choice name="status" options={STATUSES} query={query} />
      <Choice name="workflow" options={names} query={query} />
      <Choice name="trigger" options={TRIGGERS} query={query} />
    </search>
  );
}

function Choice({
  name,
  options,
  query,
}: {
  name: string;
  options: readonly string[];
  query: URLSearchParams;
}) {
  return (
    <label>
      <span>{name}</span>
      <select value={query.get(name) ?? ""} onChange={({ target }) => setQuery(name, target.value)}>
        <option value="">any</option>
        {options.map((option) => (
          <option key={option} value={option}>
            {/* The API calls a run that waits running too. */}
            {option === "running" ? "under way" : option}
          </option>
        ))}
      </select>
    </label>
  );
}

function RunPages({ filter }: { filter: RunQuery }) {
  const first = useHub(
    "runs",
    (call) => hub.listRuns(filter, call),
    ({ type }) => type.startsWith("run.") || type === "job.settled" || type === "job.claimed",
  );
  return (
    <Loaded query={first}>
      {(page) =>
        page.data.length === 0 ? (
          <NoRuns isFiltered={Object.keys(filter).length > 0} />
        ) : (
          <RunTable first={page} filter={filter} />
        )
      }
    </Loaded>
  );
}

const NoRuns = ({ isFiltered }: { isFiltered: boolean }) =>
  isFiltered ? (
    <Notice title="No run matches">
      <p>Set the filters to “any” to see all runs.</p>
    </Notice>
  ) : (
    <Notice title="Nothing has run yet">
      <p>Choose a workflow above and press Run.</p>
    </Notice>
  );

/** The newest runs, kept up to date, and older ones on request. */
function RunTable({ first, filter }: { first: Page<RunSummary>; filter: RunQuery }) {
  const [older, setOlder] = useState<readonly RunSummary[]>([]);
  const [next, setNext] = useState<string | null>();
  const cursor = next === undefined ? first.next : next;
  const known = new Set(first.data.map(({ id }) => id));
  const rows = [...first.data, ...older.filter(({ id }) => !known.has(id))];

  const more = async () => {
    if (cursor === null) return;
    const page = await hub.listRuns({ ...filter, cursor });
    setOlder((before) => [...before, ...page.data]);
    setNext(page.next);
  };

  return (
    <>
      <Rows heads={["Status", "Run", "Steps", "Nodes", "Trigger", "Started", "Took"]}>
        {rows.map((run) => (
          <RunRow key={run.id} run={run} />
        ))}
      </Rows>
      {cursor !== null && (
        <button type="button" onClick={() => void more()}>
          Older runs
        </button>
      )}
    </>
  );
}

/** A run as a row of the table. */
function RunRow({ run }: { run: RunSummary }) {
  const total = Object.values(run.steps).reduce((sum, count) => sum + (count ?? 0), 0);
  return (
    <tr>
      <td>
        <RunBadge run={run} />
      </td>
      <td>
        <Link href={to("runs", run.id)} className="strong run-name">
          <ThreadMark runId={run.id} />
          {run.workflow} <span className="mono muted">{shortId(run.id)}</span>
        </Link>
        {run.waitingReason && <p className="row-reason">{run.waitingReason.summary}</p>}
      </td>
      <td data-label="steps" className="number">
        {run.steps.succeeded ?? 0}/{total}
      </td>
      <td data-label="nodes">{run.nodes.join(", ") || "–"}</td>
      <td data-label="trigger">{run.trigger}</td>
      <td data-label="started">
        <Ago at={run.createdAt} />
      </td>
      <td data-label="took" className="number">
        <Took from={run.createdAt} until={run.finishedAt} />
      </td>
    </tr>
  );
}
