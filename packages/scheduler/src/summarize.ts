import type { NodeVerdict, ReasonCode } from "./explanation.ts";
import type { JobView } from "./job-view.ts";
import { isLasting } from "./node-verdict.ts";
import type { Failure } from "./rules.ts";

/** A node with what speaks against it. */
export interface Judgement {
  readonly name: string;
  readonly verdict: NodeVerdict;
  readonly failures: readonly Failure[];
}

/** Says what all nodes together come to. */
export function reasonCode(judgements: readonly Judgement[]): ReasonCode {
  const verdicts = new Set(judgements.map(({ verdict }) => verdict));
  if (verdicts.size === 0) return "no_nodes";
  if (verdicts.has("eligible")) return "placeable";
  const capable = judgements.filter(isCapable);
  if (capable.length === 0) {
    if (verdicts.has("version")) return "no_version";
    return verdicts.has("excluded") ? "excluded" : "no_capable_node";
  }
  const online = capable.filter(({ verdict }) => verdict !== "offline");
  if (online.length === 0) return "no_capable_node_online";
  const active = online.filter(({ verdict }) => verdict !== "paused" && verdict !== "draining");
  if (active.length === 0) return "no_capable_node_active";
  return active.every(({ verdict }) => verdict === "limited")
    ? "concurrency_limit"
    : "no_capable_node_free";
}

/** Whether a node could run the job some time. */
const isCapable = ({ failures }: Judgement): boolean => !failures.some(isLasting);

/** Says it in one sentence. */
export function summarize(
  job: JobView,
  judgements: readonly Judgement[],
  missing: readonly string[],
): string {
  const code = reasonCode(judgements);
  switch (code) {
    case "no_nodes":
      return "no node is known";
    case "placeable":
      return `${count(judgements.filter(({ verdict }) => verdict === "eligible"))} can take it now`;
    case "no_version":
      return `no node has its code: ${list(judgements.filter(({ verdict }) => verdict === "version"))}`;
    case "excluded":
      return `no node is left to try: ${list(judgements.filter(({ verdict }) => verdict === "excluded"))}`;
    case "no_capable_node":
      return incapable(job, judgements, missing);
    default: {
      const capable = judgements.filter(isCapable);
      return `${count(capable)} could run it: ${list(capable)}`;
    }
  }
}

/** Why no node could ever run the job, leaving out what would pass by itself. */
function incapable(
  { host }: JobView,
  judgements: readonly Judgement[],
  missing: readonly string[],
): string {
  const lasting = judgements.map((judgement) => ({
    ...judgement,
    failures: judgement.failures.filter(isLasting),
  }));
  const names = `(nodes: ${shorten(judgements.map(({ name }) => name))})`;
  const named = lasting.filter(({ failures }) =>
    failures.every(({ code }) => code !== "wrong_host"),
  );
  if (named.length === 0) {
    return `the step is pinned to ${host}, and no known node has that name ${names}`;
  }
  if (named.length < lasting.length) {
    return `the step is pinned to a node that cannot run it: ${list(named)}`;
  }
  if (missing.length > 0) return `no known node offers ${missing.join(", ")} ${names}`;
  return `none of ${count(lasting)} could run it: ${list(lasting)}`;
}

const count = ({ length }: readonly unknown[]): string =>
  length === 1 ? "1 node" : `${length} nodes`;

// A person reads the first few; the rest is counted.
const LISTED = 8;

/** What speaks against each node; where they are many, how many there are of each kind. */
function list(judgements: readonly Judgement[]): string {
  if (judgements.length <= LISTED) {
    return judgements
      .map(({ name, failures }) => `${name} ${failures.map(({ reason }) => reason).join(" and ")}`)
      .join(", ");
  }
  const tally = new Map<string, number>();
  for (const { failures } of judgements) {
    const codes = [...new Set(failures.map(({ code }) => code.replaceAll("_", " ")))].join(" and ");
    tally.set(codes, (tally.get(codes) ?? 0) + 1);
  }
  return shorten(
    [...tally]
      .sort(([code1, a], [code2, b]) => b - a || (code1 < code2 ? -1 : 1))
      .map(([codes, nodes]) => `${nodes} ${codes}`),
  );
}

function shorten(parts: readonly string[]): string {
  const rest = parts.length - LISTED;
  const shown = parts.slice(0, LISTED).join(", ");
  return rest > 0 ? `${shown} and ${rest} more` : shown;
}
