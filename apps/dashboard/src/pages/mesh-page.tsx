import type { Mesh } from "@loom/hub/client";
import { useState } from "react";
import { hub } from "../hub.ts";
import { ActButton } from "../parts/act-button.tsx";
import { Answer, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { sayAge, sayDuration } from "../parts/say-time.ts";
import { StateBadge } from "../parts/state-badge.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";

type Machine = Mesh["machines"][number];
type Agent = Mesh["elsewhere"][number];

/** The tailnet's machines as the hub's machine sees them: the way to each, and how its agent is. */
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
        {mesh.data?.unknown === null && <ActButton act={measure}>Measure round trips</ActButton>}
      </div>
      <Answer asked={mesh}>
        {({ unknown, machines, elsewhere }) => (
          <>
            {unknown === null ? (
              <Machines machines={machines} pings={measured?.machines ?? []} />
            ) : (
              <Notice title="The hub is in no tailnet">
                <p className="said">{sentence(unknown)}</p>
                <p className="muted">
                  Agents work all the same, as long as they reach the database: Loom then knows
                  nothing of the ways between machines, and lets nobody in without a token.
                </p>
              </Notice>
            )}
            {elsewhere.length > 0 && <Elsewhere agents={elsewhere} isAll={unknown !== null} />}
          </>
        )}
      </Answer>
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
    <Rows heads={["Machine", "Tailnet", "Way to it", "Round trip", "Agent", "Address", "System"]}>
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
            <td data-label="way">
              {isHub ? "–" : sayPath((ping?.reached ? ping.path : null) ?? machine.path)}
            </td>
            <td data-label="round trip" className="number">
              {sayPing(ping)}
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

/** Direct is what one wants; a relay is slower, and says that something is in the way. */
function sayPath(path: Machine["path"]): string {
  if (path === null) return "idle";
  return path.kind === "relay" ? `relayed by ${path.region}` : `${path.kind}, ${path.endpoint}`;
}

function sayPing(ping: Machine["ping"]): string {
  if (ping === null) return "–";
  return ping.reached ? sayDuration(ping.latencyMs) : `none: ${ping.reason}`;
}

const AgentHealth = ({ agent: { online, status, lastSeenMs } }: { agent: Agent }) => (
  <>
    <StateBadge state={online ? (status === "active" ? "online" : status) : "offline"} />{" "}
    <span className="muted">{lastSeenMs === null ? "never seen" : sayAge(lastSeenMs)}</span>
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
