import type { Page, RunQuery, RunSummary } from "@loom/hub/client";
import { useState } from "react";
import { hub } from "../hub.ts";
import { Answer, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { RunRow } from "../parts/run-row.tsx";
import { RunStarter } from "../parts/run-starter.tsx";
import { setQuery, useAddress } from "../router.tsx";
import { useHub } from "../use-hub.ts";

const STATUSES = ["running", "succeeded", "failed", "cancelled"] as const;
const TRIGGERS = ["manual", "api", "schedule"] as const;

/** Runs, newest first. What the filters say is in the address. */
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

/** What is in the address and no filter is left out. */
function filterOf(query: URLSearchParams): RunQuery {
  const status = STATUSES.find((one) => one === query.get("status"));
  const trigger = TRIGGERS.find((one) => one === query.get("trigger"));
  const workflow = query.get("workflow");
  return { ...(status && { status }), ...(trigger && { trigger }), ...(workflow && { workflow }) };
}

function Filters({ query }: { query: URLSearchParams }) {
  const strands = useHub("strands", (call) => hub.listStrands(call));
  const names = (strands.data?.data ?? []).map(({ name }) => name);
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
          <option key={option}>{option}</option>
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
    <Answer asked={first}>
      {(page) =>
        page.data.length === 0 ? (
          <NoRuns isFiltered={Object.keys(filter).length > 0} />
        ) : (
          <RunTable first={page} filter={filter} />
        )
      }
    </Answer>
  );
}

const NoRuns = ({ isFiltered }: { isFiltered: boolean }) =>
  isFiltered ? (
    <Notice title="No run is like that">
      <p>Set the filters to “any” to see all runs.</p>
    </Notice>
  ) : (
    <Notice title="Nothing has run yet">
      <p>Choose a workflow above and press Run.</p>
    </Notice>
  );

/** The newest page stays up to date; older ones are fetched when they are asked for. */
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
