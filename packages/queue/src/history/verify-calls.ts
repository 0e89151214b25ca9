import type { CallRule } from "./call-rule.ts";
import { answeredInOrder, keptResult } from "./call-rules/answer.ts";
import { claimNamesOneOwner, repeatedClaimAgrees } from "./call-rules/claim.ts";
import { epochNamesOneAgent, keyNamesOne } from "./call-rules/key.ts";
import { settledOncePerClaim, succeededOnce } from "./call-rules/settle.ts";
import type { RecordedCall } from "./recorded-call.ts";
import type { Violation } from "./violation.ts";

/** Every rule of recorded calls, by the name that a violation carries. To add one, list it here. */
const RULES = {
  "answered-in-order": answeredInOrder,
  "claim-names-one-owner": claimNamesOneOwner,
  "repeated-claim-agrees": repeatedClaimAgrees,
  "settled-once-per-claim": settledOncePerClaim,
  "succeeded-once": succeededOnce,
  "key-names-one": keyNamesOne,
  "epoch-names-one-agent": epochNamesOneAgent,
  "result-is-kept": keptResult,
} as const satisfies Readonly<Record<string, CallRule>>;

export type CallsRule = keyof typeof RULES;
export type CallsViolation = Violation<CallsRule>;

/**
 * Looks for what clients of a queue must never see, in the calls of all of them.
 *
 * @param calls - In any order, as `recordCalls` records them; calls without an answer count for nothing.
 * @returns Every violation, rule by rule.
 */
export function verifyCalls(calls: readonly RecordedCall[]): CallsViolation[] {
  return Object.entries(RULES).flatMap(([name, rule]) =>
    Array.from(rule(calls), (finding) => ({ rule: name as CallsRule, ...finding })),
  );
}
