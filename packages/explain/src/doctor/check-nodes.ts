import { suggestNames } from "@loom/did-you-mean";
import { explain } from "@loom/scheduler";
import type { Peer } from "@loom/tailscale-resolver";
import { peerOf } from "../mesh.ts";
import { toScoredNode } from "../scored.ts";
import { type Check, countOf, type Finding, fail, since, waitingOf, warn } from "./check.ts";
import { type DoctorFacts, pendingFor } from "./facts.ts";

/** Every node's agent is running and can run steps: its lease is in force by the database's clock. */
export const agents: Check = (facts) => {
  const { nodes } = facts;
  if (nodes.length === 0) {
    return {
      ok: "",
      findings: [
        fail(
          "nodes",
          "no agent has ever reported to this database",
          "start an agent with this database's SUPABASE_URL: npx @loom/node-agent",
        ),
      ],
    };
  }
  const waitedFor = countWaitedFor(facts);
  const findings = nodes
    .filter(({ online }) => !online)
    .map((node) => {
      const waiting = pendingFor(facts, node.name).length + (waitedFor.get(node.name) ?? 0);
      return (waiting > 0 ? fail : warn)(
        node.name,
        `its last heartbeat came ${since(node.lastSeenMs)}, and its lease is over; ${waitingOf(waiting)} for it`,
        `start the agent on ${node.name}, and read its log if it does not stay`,
      );
    });
  const unable = nodes.flatMap(({ name, online, facts: { fault } }) => {
    const { reason } = Object(fault) as { reason?: unknown };
    if (!online || typeof reason !== "string") return [];
    return [
      fail(
        name,
        `its agent claims nothing: ${reason}`,
        `fix that on ${name}: its agent tries again by itself, once a minute at most`,
      ),
    ];
  });
  return {
    ok: `${countOf(nodes.length, "node")} in touch`,
    findings: [...findings, ...unable],
  };
};

/** How many jobs wait for each offline node, counting jobs whose eligible nodes are all offline. */
function countWaitedFor({ jobs, nodes }: DoctorFacts): Map<string, number> {
  const views = nodes.map(toScoredNode);
  const byNeed = Map.groupBy(
    jobs.filter(({ state }) => state === "waiting"),
    ({ requires }) => JSON.stringify(requires),
  );
  const counts = new Map<string, number>();
  for (const alike of byNeed.values()) {
    const [{ requires } = { requires: [] }] = alike;
    if (explain({ requires }, views).code !== "no_capable_node_online") continue;
    for (const view of views) {
      if (explain({ requires }, [view]).code !== "no_capable_node_online") continue;
      counts.set(view.name, (counts.get(view.name) ?? 0) + alike.length);
    }
  }
  return counts;
}

/**
 * Agents reach the database and their keys are valid, as their heartbeats show. When a machine is up in the tailnet
 * but sends no heartbeat, one of the two fails, or its agent is not running.
 */
export const heartbeats: Check = ({ nodes, tailnet }) => {
  const beating = nodes.filter(({ online }) => online);
  if (!tailnet.isKnown) {
    return beating.length > 0
      ? { ok: `${countOf(beating.length, "agent")} reach the database`, findings: [] }
      : {
          skipped: `no agent is in touch, and whether machines are up is not known: ${tailnet.reason}`,
        };
  }
  const findings = nodes.flatMap((node) => {
    const peer = node.online ? undefined : peerOf(node, tailnet);
    if (!peer?.online) return [];
    return [
      fail(
        node.name,
        `its machine is up in the tailnet, and its last heartbeat came ${since(node.lastSeenMs)}`,
        `look at the agent's log on ${node.name}: it is not running, or SUPABASE_URL or LOOM_NODE_KEY is wrong there`,
      ),
    ];
  });
  return { ok: `${countOf(beating.length, "agent")} reach the database`, findings };
};

/** Every node's machine is up in the tailnet, under a key that has not expired. */
export const tailnet: Check = (facts) => {
  const { nodes, tailnet: net } = facts;
  if (!net.isKnown) return { skipped: net.reason };
  const known = net.peers.map(({ name }) => name);
  const paths: string[] = [];
  const findings = nodes.flatMap((node): Finding[] => {
    const found = pendingFor(facts, node.name).length > 0 && !node.online ? fail : warn;
    const peer = peerOf(node, net);
    const subject = node.name;
    if (peer === undefined) {
      const near = suggestNames(node.name, known);
      const meant = near.length > 0 ? `; near are ${near.join(", ")}` : "";
      const evidence = `no machine of the tailnet has this name or its agent's address${meant}`;
      return [found(subject, evidence, `run tailscale up on ${node.name}`)];
    }
    if (peer.expired) {
      return [
        fail(subject, "its key has expired", `run tailscale up --force-reauth on ${peer.name}`),
      ];
    }
    if (!peer.self && !peer.online) {
      const evidence = `the tailnet sees ${peer.name} offline`;
      return [found(subject, evidence, `wake ${peer.name}, or run tailscale up there`)];
    }
    paths.push(`${node.name} ${wayTo(peer)}`);
    return [];
  });
  return { ok: `${countOf(nodes.length, "node")} up: ${paths.join(", ")}`, findings };
};

const wayTo = ({ self, path }: Peer): string => {
  if (self) return "is here";
  if (path === undefined) return "idle";
  return path.kind === "relay" ? `by relay ${path.region}` : path.kind;
};

/** Every wake server answers. One that does not only costs time: its node polls. */
export const wakeServers: Check = ({ wakes }) => {
  if (wakes === null) return { skipped: "this hub wakes no wake servers" };
  const heard: string[] = [];
  const findings = wakes.flatMap(({ node, port, wake }) => {
    if (wake.heard) {
      heard.push(`${node} in ${Math.ceil(wake.ms)} ms`);
      return [];
    }
    return [
      warn(
        node,
        `its wake server did not answer, so it finds work only by polling: ${wake.reason}`,
        `let the hub reach port ${port} of ${node}, in the tailnet's policy and in its firewall`,
      ),
    ];
  });
  const ok = heard.length === 0 ? "no node has a wake server" : `woken: ${heard.join(", ")}`;
  return { ok, findings };
};

const WARN_MS = 2_000;
/** From this skew on, keys may be refused as expired or not yet valid. */
const FAIL_MS = 60_000;

/** How far a machine's clock is ahead of the database's. */
interface Skew {
  subject: string;
  aheadMs: number;
  /** The error of `aheadMs`, in both directions. */
  withinMs: number;
}

/**
 * The clocks of the hub and of nodes agree with the database's. All decisions use the database's clock, so a skewed
 * machine decides nothing wrong, but the times of its steps and logs are wrong.
 *
 * A node reports its clock when its wake server is woken. A node without a wake server, or of an older version, is
 * not known, which is no fault.
 */
export const clock: Check = (facts) => {
  const skews = skewsOf(facts);
  const findings = skews.flatMap(({ subject, aheadMs, withinMs }) => {
    const certainMs = Math.abs(aheadMs) - withinMs;
    if (certainMs < WARN_MS) return [];
    const way = aheadMs > 0 ? "ahead of" : "behind";
    const machine = subject === "hub" ? "the hub's machine" : subject;
    return [
      (certainMs < FAIL_MS ? warn : fail)(
        subject,
        `its clock is at least ${(certainMs / 1_000).toFixed(1)} s ${way} the database's`,
        `set the clock of ${machine} by NTP: timedatectl set-ntp true, or install chrony`,
      ),
    ];
  });
  const mostMs = Math.max(...skews.map(({ aheadMs, withinMs }) => Math.abs(aheadMs) + withinMs));
  const reported = new Set(skews.map(({ subject }) => subject));
  const unknown = facts.nodes.map(({ name }) => name).filter((name) => !reported.has(name));
  const known = `${[...reported].join(", ")} within ${Math.ceil(mostMs)} ms`;
  const ok = unknown.length === 0 ? known : `${known}; not reported by ${unknown.join(", ")}`;
  return { ok, findings };
};

function skewsOf({ database, wakes }: DoctorFacts): Skew[] {
  const halfWayMs = database.roundTripMs / 2;
  const hub = { subject: "hub", aheadMs: -database.aheadMs, withinMs: halfWayMs };
  const nodes = (wakes ?? []).flatMap(({ node, wake }) =>
    wake.heard && wake.aheadMs !== null
      ? [
          {
            subject: node,
            aheadMs: wake.aheadMs - database.aheadMs,
            withinMs: wake.ms / 2 + halfWayMs,
          },
        ]
      : [],
  );
  return [hub, ...nodes];
}
