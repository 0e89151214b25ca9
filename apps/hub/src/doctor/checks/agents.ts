import { type Check, countOf, since, waitingOf } from "../check.ts";
import { pendingFor } from "../facts.ts";

/** Every node's agent is running: its lease is in force by the database's clock. */
export const agents: Check = {
  name: "agents",
  examine: (facts) => {
    const { nodes } = facts;
    if (nodes.length === 0) {
      return {
        ok: "",
        findings: [
          {
            status: "fail",
            subject: "nodes",
            evidence: "no agent has ever reported to this database",
            fix: "start an agent with this database's SUPABASE_URL: npx @loom/node-agent",
          },
        ],
      };
    }
    const findings = nodes
      .filter(({ online }) => !online)
      .map((node) => {
        const waiting = pendingFor(facts, node.name).length;
        return {
          status: waiting > 0 ? ("fail" as const) : ("warn" as const),
          subject: node.name,
          evidence: `its last heartbeat came ${since(node.lastSeenMs)}, and its lease is over; ${waitingOf(waiting)} for it`,
          fix: `start the agent on ${node.name}, and read its log if it does not stay`,
        };
      });
    return { ok: `${countOf(nodes.length, "node")} in touch`, findings };
  },
};
