import { explain, type ReasonCode } from "@loom/scheduler";
import { weighNode } from "../explain/weigh.ts";
import type { Finding } from "./check.ts";
import type { DoctorFacts } from "./facts.ts";

/** What waits for a reason that waiting does not mend, each need once, with one of its jobs. */
export function stuckFor(
  codes: readonly ReasonCode[],
  { jobs, nodes }: Pick<DoctorFacts, "jobs" | "nodes">,
): Finding[] {
  const views = nodes.map(weighNode);
  const known = new Set(nodes.map(({ name }) => name));
  const needs = new Map<string, DoctorFacts["jobs"][number]>();
  for (const job of jobs) {
    const need = JSON.stringify([job.requires, job.targetHost]);
    // Who waits for a node that nobody knows is another check's.
    if (job.targetHost === null || known.has(job.targetHost)) needs.set(need, job);
  }
  return [...needs.values()].flatMap((job) => {
    const { code, summary, fix } = explain({ requires: job.requires, host: job.targetHost }, views);
    if (!codes.includes(code)) return [];
    return [
      {
        status: "fail" as const,
        subject: `job ${job.id}`,
        evidence: `step ${job.step} of ${job.workflow}: ${summary}`,
        fix: fix?.action ?? "change what the step requires",
      },
    ];
  });
}
