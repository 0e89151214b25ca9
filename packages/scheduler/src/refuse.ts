import type { Failure, Refusal, RefusalCode, Rejection } from "./placement.ts";
import type { StepView } from "./step-view.ts";

/** Says why a step that every node rejected has no node. */
export function refuse(step: StepView, rejected: readonly Rejection[]): Refusal {
  const missing = step.requires.filter((clause) =>
    rejected.every(({ failures }) => failures.some((failure) => failure.missing?.includes(clause))),
  );
  const capable = rejected.filter(({ failures }) => failures.every(isPassing));
  return {
    placed: false,
    code: codeOf(rejected, capable),
    summary:
      capable.length === 0
        ? incapable(step, rejected, missing)
        : `${count(capable.length)} could run it: ${list(capable.map(sentence))}`,
    missing,
    rejected,
  };
}

const isPassing = ({ about }: Failure): boolean => about === "availability";

function codeOf(rejected: readonly Rejection[], capable: readonly Rejection[]): RefusalCode {
  if (rejected.length === 0) return "no_nodes";
  if (capable.length === 0) return "no_capable_node";
  return capable.every((node) => fails(node, "offline"))
    ? "no_capable_node_online"
    : "no_capable_node_free";
}

const fails = ({ failures }: Rejection, code: string): boolean =>
  failures.some((failure) => failure.code === code);

/** Why no node could ever run the step, leaving out what would pass by itself. */
function incapable(
  { host }: StepView,
  rejected: readonly Rejection[],
  missing: readonly string[],
): string {
  if (rejected.length === 0) return "no node is known";
  const lasting = rejected.map(({ node, failures }) => ({
    node,
    failures: failures.filter((failure) => !isPassing(failure)),
  }));
  const nodes = `(nodes: ${list(lasting.map(({ node }) => node))})`;
  const named = lasting.filter((node) => !fails(node, "wrong_host"));
  if (named.length === 0) {
    return `the step is pinned to ${host}, and no known node has that name ${nodes}`;
  }
  if (named.length < lasting.length) {
    return `the step is pinned to a node that cannot run it: ${list(named.map(sentence))}`;
  }
  if (missing.length > 0) return `no known node offers ${missing.join(", ")} ${nodes}`;
  return `none of ${count(lasting.length)} could run it: ${list(lasting.map(sentence))}`;
}

const sentence = ({ node, failures }: Rejection): string =>
  `${node} ${failures.map(({ reason }) => reason).join(" and ")}`;

const count = (nodes: number): string => (nodes === 1 ? "1 node" : `${nodes} nodes`);

// A person reads the first few; the rest is in `rejected`.
const LISTED = 8;

function list(parts: readonly string[]): string {
  const rest = parts.length - LISTED;
  const shown = parts.slice(0, LISTED).join(", ");
  return rest > 0 ? `${shown} and ${rest} more` : shown;
}
