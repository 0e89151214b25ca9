import { type Check, waitingOf } from "../check.ts";
import { pendingFor } from "../facts.ts";

/** Nobody has paused what jobs wait for. */
export const pauses: Check = {
  name: "pauses",
  examine: (facts) => {
    const workflows = facts.paused.flatMap(({ workflow, note }) => {
      const waiting = facts.jobs.filter((job) => job.workflow === workflow).length;
      if (waiting === 0) return [];
      return [
        {
          status: "warn" as const,
          subject: workflow,
          evidence: `the workflow is paused${note === null ? "" : ` (${note})`}; ${waitingOf(waiting)}`,
          fix: `resume it: POST /api/loom/strands/${workflow}/resume`,
        },
      ];
    });
    const nodes = facts.nodes.flatMap(({ name, status, statusNote }) => {
      const waiting = pendingFor(facts, name).length;
      if (status === "active" || waiting === 0) return [];
      return [
        {
          status: "warn" as const,
          subject: name,
          evidence: `the node is ${status}${statusNote === null ? "" : ` (${statusNote})`}; ${waitingOf(waiting)} for it`,
          fix: `resume ${name}`,
        },
      ];
    });
    return { ok: "nothing that jobs wait for is paused", findings: [...workflows, ...nodes] };
  },
};
