import type { Check, Finding } from "./check.ts";
import { hooks } from "./check-hooks.ts";
import * as nodes from "./check-nodes.ts";
import * as work from "./check-work.ts";
import type { DoctorFacts } from "./facts.ts";

/** The checks by their stable names, in the order in which a person would make them when a remote step stays pending. */
const CHECKS: Readonly<Record<string, Check>> = {
  agents: nodes.agents,
  "target-hosts": work.targetHosts,
  capabilities: work.capabilities,
  "workflow-files": work.workflowFiles,
  "workflow-versions": work.workflowVersions,
  pauses: work.pauses,
  placing: work.placing,
  exclusions: work.exclusions,
  faults: work.faults,
  heartbeats: nodes.heartbeats,
  tailnet: nodes.tailnet,
  "wake-servers": nodes.wakeServers,
  schema: work.schema,
  events: work.events,
  clock: nodes.clock,
  hooks,
  files: work.files,
  retention: work.retention,
};

/** How many findings of one check are listed. Its summary has the whole number. */
const MAX_FINDINGS = 50;

/** The report of one check. */
export interface CheckReport {
  name: string;
  status: "ok" | "warn" | "fail" | "skipped";
  summary: string;
  findings: Finding[];
}

/** Runs every check. */
export function examine(facts: DoctorFacts): {
  status: "ok" | "warn" | "fail";
  checks: CheckReport[];
} {
  const checks = Object.entries(CHECKS).map(([name, check]) => report(name, check(facts)));
  return { status: worstOf(checks), checks };
}

function report(name: string, answer: ReturnType<Check>): CheckReport {
  if ("skipped" in answer) {
    return { name, status: "skipped", summary: answer.skipped, findings: [] };
  }
  const [first, ...others] = answer.findings.toSorted(
    (a, b) => Number(b.status === "fail") - Number(a.status === "fail"),
  );
  if (!first) return { name, status: "ok", summary: answer.ok, findings: [] };
  const more = others.length > 0 ? ` (and ${others.length} more)` : "";
  return {
    name,
    status: first.status,
    summary: `${first.subject}: ${first.evidence}${more}`,
    findings: [first, ...others].slice(0, MAX_FINDINGS),
  };
}

const worstOf = (checks: readonly CheckReport[]) =>
  (["fail", "warn"] as const).find((each) => checks.some(({ status }) => status === each)) ?? "ok";
