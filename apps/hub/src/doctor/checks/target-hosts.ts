import { suggestNames } from "@loom/scheduler";
import { type Check, countOf } from "../check.ts";

/** Every node that a job waits for is one that is known. */
export const targetHosts: Check = {
  name: "target-hosts",
  examine: ({ jobs, nodes }) => {
    const known = nodes.map(({ name }) => name);
    const asked = Map.groupBy(
      jobs.filter(({ state }) => state === "pending"),
      ({ targetHost }) => targetHost ?? "",
    );
    const findings = [...asked]
      .filter(([host]) => !known.includes(host))
      .map(([host, waiting]) => {
        const near = suggestNames(host, known);
        const meant = near.length > 0 ? `, which may have meant ${near.join(" or ")}` : "";
        return {
          status: "fail" as const,
          subject: host,
          evidence: `${jobsOf(waiting)} for ${host}${meant}: no node of this name has ever reported; known are ${known.join(", ") || "none"}`,
          fix:
            near.length > 0
              ? `name ${near[0]} as the step's host, and start the run again`
              : `start an agent with LOOM_NODE_NAME=${host}, or name another host`,
        };
      });
    return { ok: `${countOf(asked.size, "node")} waited for, all known`, findings };
  },
};

/** Some of the jobs, by id, and that they wait. */
const jobsOf = (jobs: readonly { id: number; step: string }[]): string => {
  const named = jobs.slice(0, 3).map(({ id, step }) => `${id} (${step})`);
  const more = jobs.length > named.length ? " and more" : "";
  return jobs.length === 1 ? `job ${named[0]} waits` : `jobs ${named.join(", ")}${more} wait`;
};
