import { useState } from "react";
import { useLive, useLiveState } from "../live/live-context.tsx";
import { ActivityList } from "../mesh/activity-list.tsx";
import { MeshMap } from "../mesh/mesh-map.tsx";
import { MeshTable } from "../mesh/mesh-table.tsx";
import { ReplayBar } from "../mesh/replay-bar.tsx";
import { RunRail } from "../mesh/run-rail.tsx";
import { useReplay } from "../mesh/use-replay.ts";
import { judge, type Verdict } from "../mesh/verdict.ts";
import { WaitingList } from "../mesh/waiting-list.tsx";
import { Loading, Notice } from "../parts/notice.tsx";
import { RunStarter } from "../parts/run-starter.tsx";
import { Link, setQuery, useAddress } from "../router.tsx";
import { useMedia } from "../use-size.ts";

/** What is alive, what moves, what is stuck. */
export function LoomPage() {
  const { isRead, connection } = useLiveState();
  const live = useLive();
  const replay = useReplay();
  const { query } = useAddress();
  const isNarrow = useMedia("(max-width: 640px)");
  const view = query.get("view") ?? (isNarrow ? "table" : "map");
  const [focus, setFocus] = useState<string | null>(null);
  const { mesh } = replay;

  if (!isRead) return <Loading />;
  const isCut = connection === "reconnecting" || connection === "refused";
  return (
    <div className={isCut ? "loom-page is-cut" : "loom-page"}>
      <h1 className="visually-hidden">Loom</h1>
      <div className="row spread">
        <VerdictLine verdict={judge(mesh)} />
        <RunStarter />
      </div>
      {mesh.nodes.size === 0 && live.state.isRead ? (
        <Notice title="No machine has joined yet">
          <p>Start an agent on one of your machines, and it appears here:</p>
          <pre>npm run agent</pre>
        </Notice>
      ) : (
        <div className="weave">
          <div className="weave-main">
            <section className="map-panel card" aria-label="The mesh">
              {view === "table" ? (
                <MeshTable mesh={mesh} />
              ) : (
                <MeshMap mesh={mesh} focus={focus} now={replay.now} pulses={replay.pulses} />
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
            <ActivityList />
          </div>
          <div className="rail">
            <WaitingList mesh={mesh} />
            <RunRail mesh={mesh} onFocus={setFocus} />
          </div>
        </div>
      )}
    </div>
  );
}

function VerdictLine({ verdict: { nodes, online, running, waiting } }: { verdict: Verdict }) {
  return (
    <p className="verdict">
      <Link href="/nodes">
        <b>{online}</b> of {nodes} {nodes === 1 ? "node" : "nodes"} online
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
