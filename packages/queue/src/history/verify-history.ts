import type { QueueEvent } from "../event.ts";
import { type HistoryOptions, toHistory } from "./history.ts";
import type { Rule } from "./rule.ts";
import { claimedAlive, claimedByTarget, claimedInEpoch, fenceGrows } from "./rules/claim.ts";
import { createdOnce, finalIsFinal, legalTransition, readOnce } from "./rules/life.ts";
import { limitKept } from "./rules/limit.ts";
import { neverStuck, readyWithNeeds, skippedWithNeeds } from "./rules/need.ts";
import { acceptedIsKept, allDrained, rowAgrees } from "./rules/promise.ts";
import { lossesBounded, requeuedWhenLost } from "./rules/requeue.ts";
import { runFinishesWithLastStep, runStartsOnce, runStatusFollows } from "./rules/run.ts";
import { diesOnce, epochGrows } from "./rules/session.ts";
import { cancelledOnRequest, settledByOwner, settledOnce } from "./rules/settle.ts";
import type { Violation } from "./violation.ts";

/** Every rule of a history, by the name that a violation carries. To add one, list it here. */
const RULES = {
  "read-once": readOnce,
  "created-once": createdOnce,
  "final-is-final": finalIsFinal,
  "legal-transition": legalTransition,
  "fence-grows": fenceGrows,
  "claimed-by-target": claimedByTarget,
  "claimed-in-epoch": claimedInEpoch,
  "claimed-alive": claimedAlive,
  "epoch-grows": epochGrows,
  "dies-once": diesOnce,
  "settled-by-owner": settledByOwner,
  "settled-once": settledOnce,
  "cancelled-on-request": cancelledOnRequest,
  "requeued-when-lost": requeuedWhenLost,
  "losses-bounded": lossesBounded,
  "limit-kept": limitKept,
  "ready-with-needs": readyWithNeeds,
  "skipped-with-needs": skippedWithNeeds,
  "never-stuck": neverStuck,
  "run-starts-once": runStartsOnce,
  "run-finishes-with-last-step": runFinishesWithLastStep,
  "run-status-follows": runStatusFollows,
  "accepted-is-kept": acceptedIsKept,
  "all-drained": allDrained,
  "row-agrees": rowAgrees,
} as const satisfies Readonly<Record<string, Rule>>;

export type HistoryRule = keyof typeof RULES;
export type HistoryViolation = Violation<HistoryRule>;

/**
 * Looks for what the queue promises never to do, in a whole history: from the first event on,
 * and read when no transaction was open (`readHistory`).
 *
 * @param events - In any order; `seq` puts them in theirs.
 * @returns Every violation, rule by rule; empty proves this history, and says nothing of others.
 */
export function verifyHistory(
  events: readonly QueueEvent[],
  options: HistoryOptions = {},
): HistoryViolation[] {
  const history = toHistory(events, options);
  return Object.entries(RULES).flatMap(([name, rule]) =>
    Array.from(rule(history), (finding) => ({ rule: name as HistoryRule, ...finding })),
  );
}
