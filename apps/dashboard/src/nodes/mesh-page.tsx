import type { Mesh } from "@loom/client";
import { useState } from "react";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { conditionOf, StateBadge } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { formatAge, formatDuration } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";

type Machine = Mesh["machines"][number];
type Agent = Mesh["elsewhere"][number];

/** The tailnet's machines as the hub sees them: the path to each, and the condition of its agent. */
export function MeshPage() {
  const mesh = useHub(
    "mesh",
    (call) => hub.getMesh({}, call),
    ({ type }) => type.startsWith("node."),
  );
  const [measured, setMeasured] = useState<Mesh>();
  const measure = async () => setMeasured(await hub.getMesh({ ping: true }));
  return (
    <>
      <div className="row spread">
        <h1>Mesh</h1>
        {mesh.data?.unknown === null && (
          <ActionButton action={measure}>Measure round trips</ActionButton>
        )}
      </div>
      <Loaded query={mesh}>
        {({ unknown, machines, elsewhere }) => (
          <>
            {unknown === null ? (
              <Machines machines={machines} pings={measured?.machines ?? []} />
            ) : (
              <Notice title="The hub is in no tailnet">
                <p className="output">{sentence(unknown)}</p>
                <p className="muted">
                  Agents still work as long as they reach the database. Loom then knows no paths
                  between machines, and every caller needs a token.
                </p>
              </Notice>
            )}
            {elsewhere.length > 0 && <Elsewhere agents={elsewhere} isAll={unknown !== null} />}
          </>
        )}
      </Loaded>
    </>
  );
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;

function Machines({
  machines,
  pings,
}: {
  machines: readonly Machine[];
  pings: readonly Machine[];
}) {
  const pinged = new Map(pings.map((machine) => [machine.name, machine]));
  return (
    <Rows heads={["Machine", "Tailnet", "Path", "Round trip", "Agent", "Address", "System"]}>
      {machines.map((machine) => {
        const { name, online, isHub, keyExpired, agent, address, os } = machine;
        const ping = pinged.get(name)?.ping ?? machine.ping;
        return (
          <tr key={name}>
            <td className="strong">
              {agent ? <Link href={to("nodes", agent.node)}>{name}</Link> : name}
              {isHub && <span className="muted"> the hub's</span>}
            </td>
            <td data-label="tailnet">
              <StateBadge state={online ? "online" : "offline"} />
              {keyExpired && <span className="problem"> its key has expired</span>}
            </td>
            <td data-label="path">
              {isHub ? "–" : formatPath((ping?.reached ? ping.path : null) ?? machine.path)}
            </td>
            <td data-label="round trip" className="number">
              {formatPing(ping)}
            </td>
            <td data-label="agent">
              {agent ? <AgentHealth agent={agent} /> : <span className="muted">none</span>}
            </td>
            <td data-label="address" className="mono">
              {address ?? "–"}
            </td>
            <td data-label="system">{os || "–"}</td>
          </tr>
        );
      })}
    </Rows>
  );
}

/** A direct path is the fast one. A relayed path means that something blocks the direct one. */
function formatPath(path: Machine["path"]): string {
  if (path === null) return "idle";
  return path.kind === "relay" ? `relayed by ${path.region}` : `${path.kind}, ${path.endpoint}`;
}

function formatPing(ping: Machine["ping"]): string {
  if (ping === null) return "–";
  return ping.reached ? formatDuration(ping.latencyMs) : `none: ${ping.reason}`;
}

const AgentHealth = ({ agent }: { agent: Agent }) => (
  <>
    <StateBadge state={conditionOf(agent)} />{" "}
    <span className="muted">
      {agent.lastSeenMs === null ? "never seen" : formatAge(agent.lastSeenMs)}
    </span>
  </>
);

function Elsewhere({ agents, isAll }: { agents: readonly Agent[]; isAll: boolean }) {
  return (
    <>
      <h2>{isAll ? "Agents" : "Agents that the tailnet does not know"}</h2>
      <Rows heads={["Node", "Agent", "Version"]}>
        {agents.map((agent) => (
          <tr key={agent.node}>
            <td>
              <Link href={to("nodes", agent.node)} className="strong">
                {agent.node}
              </Link>
            </td>
            <td data-label="agent">
              <AgentHealth agent={agent} />
            </td>
            <td data-label="version" className="mono">
              {agent.agentVersion ?? "–"}
            </td>
          </tr>
        ))}
      </Rows>
    </>
  );
}
