import type { NodeVerdict } from "./explanation.ts";
import type { Failure } from "./rules.ts";

/** What has to change first comes first. */
const AVAILABILITY: readonly (readonly [code: string, NodeVerdict])[] = [
  ["offline", "offline"],
  ["draining", "draining"],
  ["paused", "paused"],
  ["concurrency_limit", "limited"],
  ["full", "full"],
];

/** Sums up what speaks against a node. */
export function nodeVerdict(failures: readonly Failure[]): NodeVerdict {
  if (failures.length === 0) return "eligible";
  const lasting = failures.filter(isLasting);
  if (lasting.length > 0) {
    if (lasting.every(({ code }) => code === "version")) return "version";
    return lasting.every(({ code }) => code === "excluded") ? "excluded" : "ineligible";
  }
  const [, verdict = "unavailable"] =
    AVAILABILITY.find(([code]) => failures.some((failure) => failure.code === code)) ?? [];
  return verdict;
}

/** Whether waiting would not help. */
export const isLasting = ({ about }: Failure): boolean => about === "ability";
