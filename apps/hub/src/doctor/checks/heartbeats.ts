import { type Check, countOf, since } from "../check.ts";
import { peerOf } from "../facts.ts";

/**
 * Agents reach the database and their keys are good, as their heartbeats show. Of a machine that is up
 * in the tailnet and silent here, one of the two is not so, or its agent is not running.
 */
export const heartbeats: Check = {
  name: "heartbeats",
  examine: ({ nodes, tailnet }) => {
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
        {
          status: "fail" as const,
          subject: node.name,
          evidence: `its machine is up in the tailnet, and its last heartbeat came ${since(node.lastSeenMs)}`,
          fix: `look at the agent's log on ${node.name}: it is not running, or SUPABASE_URL or LOOM_NODE_KEY is wrong there`,
        },
      ];
    });
    return { ok: `${countOf(beating.length, "agent")} reach the database`, findings };
  },
};
