import type { Check, Finding } from "./check.ts";
import { agents } from "./checks/agents.ts";
import { capabilities } from "./checks/capabilities.ts";
import { clock } from "./checks/clock.ts";
import { doorbells } from "./checks/doorbells.ts";
import { heartbeats } from "./checks/heartbeats.ts";
import { pauses } from "./checks/pauses.ts";
import { placing } from "./checks/placing.ts";
import { schema } from "./checks/schema.ts";
import { tailnet } from "./checks/tailnet.ts";
import { targetHosts } from "./checks/target-hosts.ts";
import { workflowVersions } from "./checks/workflow-versions.ts";
import type { DoctorFacts } from "./facts.ts";

/** What a person would look at, in this order, when a remote step stays pending. */
const CHECKS: readonly Check[] = [
  agents,
  targetHosts,
  capabilities,
  workflowVersions,
  pauses,
  placing,
  heartbeats,
  tailnet,
  doorbells,
  schema,
  clock,
];
/** Of one check; how many more there are is told. */
const MAX_FINDINGS = 50;

/** One check's answer, as it is told. */
export interface CheckReport {
  name: string;
  status: "ok" | "warn" | "fail" | "skipped";
  summary: string;
  findings: Finding[];
}

/** Asks every check. */
export function examine(facts: DoctorFacts): {
  status: "ok" | "warn" | "fail";
  checks: CheckReport[];
} {
  const checks = CHECKS.map((check) => report(check, facts));
  return { status: worstOf(checks), checks };
}

function report({ name, examine: ask }: Check, facts: DoctorFacts): CheckReport {
  const answer = ask(facts);
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
