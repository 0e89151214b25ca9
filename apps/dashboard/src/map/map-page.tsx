import { useState } from "react";
import { ActivityList } from "../home/activity.tsx";
import { LastDay } from "../home/last-day.tsx";
import { hub } from "../hub.ts";
import { useLive, useLiveState } from "../live/live-context.tsx";
import { conditionOf, StateBadge, ThreadMark } from "../parts/marks.tsx";
import { Loading, Notice } from "../parts/notice.tsx";
import { useMedia } from "../parts/use-size.ts";
import { WaitingList } from "../queue/waiting-list.tsx";
import { Link, setQuery, to, useAddress } from "../router.tsx";
import { RunStarter } from "../runs/run-starter.tsx";
import { useHub } from "../use-hub.ts";
import { NodeMap } from "./node-map.tsx";
import { ReplayBar, useReplay } from "./replay.tsx";
import { RunRail } from "./side-lists.tsx";
import { isWaiting, jobsOn, type MapRun, type MapState, stateOfRun } from "./state/map-state.ts";

/** The minimum time between summaries, because a summary reads much of the database. */
const SUMMARY_APART_MS = 2_000;
/** The polling interval, because missed times of schedules have no event. */
const SUMMARY_EVERY_MS = 60_000;

/**
 * The start page: the map with the runs and waiting steps beside it, and what happened in the last day. While
 * something runs, the map comes first.
 */
export function MapPage() {
  const { isRead, connection } = useLiveState();
  const live = useLive();
  const replay = useReplay();
  const { query } = useAddress();
  const isNarrow = useMedia("(max-width: 640px)");
  const view = query.get("view") ?? (isNarrow ? "table" : "map");
  const [focus, setFocus] = useState<string | null>(null);
  const { map } = replay;
  const summary = useHub(
    "summary",
    (call) => hub.getSummary({}, call),
    ({ type }) => type === "run.finished" || type === "run.started" || type.startsWith("node."),
    { apartMs: SUMMARY_APART_MS, everyMs: SUMMARY_EVERY_MS },
  );

  if (!isRead) return <Loading />;
  const isBusy = replay.at !== null || [...map.runs.values()].some(isGoingOn);
  const panel = (
    <section key="map" className="map-panel card" aria-label="The map">
      {view === "table" ? (
        <MapTable map={map} />
      ) : (
        <NodeMap map={map} focus={focus} now={replay.now} pulses={replay.pulses} />
      )}
      <div className="map-tools">
        <ReplayBar replay={replay} />
        <button
          type="button"
          className="quiet"
          onClick={() => setQuery("view", view === "table" ? "map" : "table")}
        >
          {view === "table" ? "Show the map" : "Show as a list"}
        </button>
      </div>
    </section>
  );
  const activity = <ActivityList key="activity" past={summary.data?.events} />;
  const day = <LastDay key="day" summary={summary} />;
  const isCut = connection === "reconnecting" || connection === "refused";
  return (
    <div className={isCut ? "loom-page is-cut" : "loom-page"}>
      <h1 className="visually-hidden">Loom</h1>
      <div className="row spread">
        <Counts map={map} />
        <RunStarter />
      </div>
      {map.nodes.size === 0 && live.state.isRead ? (
        <Notice title="No machine has joined yet">
          <p>
            <Link href="/add-machine">Add a machine</Link>, and it appears here.
          </p>
        </Notice>
      ) : (
        <div className="weave">
          <div className="weave-main">
            {isBusy ? [panel, activity, day] : [day, panel, activity]}
          </div>
          <div className="rail">
            <WaitingList map={map} />
            <RunRail map={map} onFocus={setFocus} />
          </div>
        </div>
      )}
    </div>
  );
}

/** Whether a run is on the map because something of it runs, or just ran. */
const isGoingOn = (run: MapRun): boolean => stateOfRun(run) !== "waiting";

/** How many nodes, runs and waiting steps there are. */
function Counts({ map: { nodes, runs, jobs } }: { map: MapState }) {
  const online = [...nodes.values()].filter((node) => node.online).length;
  const running = [...runs.values()].filter((run) => stateOfRun(run) === "running").length;
  const waiting = [...jobs.values()].filter(isWaiting).length;
  return (
    <p className="counts">
      <Link href="/nodes">
        <b>{online}</b> of {nodes.size} {nodes.size === 1 ? "node" : "nodes"} online
      </Link>
      <Link href="/runs?status=running">
        <b>{running}</b> {running === 1 ? "run" : "runs"} under way
      </Link>
      <Link href="/queue" className={waiting > 0 ? "is-waiting" : undefined}>
        <b>{waiting}</b> {waiting === 1 ? "step waits" : "steps wait"} for a node
      </Link>
    </p>
  );
}

/** The map in words, for small screens and screen readers. */
function MapTable({ map }: { map: MapState }) {
  const nodes = [...map.nodes.values()].sort((one, other) => one.name.localeCompare(other.name));
  return (
    <ul className="map-table" aria-label="Nodes and what they run">
      {nodes.map((node) => {
        const jobs = jobsOn(map, node.name);
        return (
          <li key={node.name} className="card">
            <div className="row">
              <Link href={to("nodes", node.name)} className="strong">
                {node.name}
              </Link>
              <StateBadge state={conditionOf(node)} />
              <span className="muted end">
                {jobs.length}/{node.slots} {node.slots === 1 ? "slot" : "slots"}
              </span>
            </div>
            {jobs.length > 0 && (
              <ul>
                {jobs.map((job) => (
                  <li key={job.id}>
                    {job.runId && <ThreadMark runId={job.runId} />}
                    {job.workflow ?? "a step"}
                    {job.step && ` · ${job.step}`}
                  </li>
                ))}
              </ul>
            )}
          </li>
        );
      })}
    </ul>
  );
}
