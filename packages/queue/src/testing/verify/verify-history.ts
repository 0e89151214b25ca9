import type { QueueEvent } from "../../history/events.ts";
import { type HistoryOptions, type Rule, toHistory, type Violation } from "./history.ts";
import {
  cancelledOnRequest,
  claimedAlive,
  claimedByTarget,
  claimedInEpoch,
  conditionDecides,
  createdOnce,
  fenceGrows,
  finalIsFinal,
  legalTransition,
  limitKept,
  lossesBounded,
  readOnce,
  requeuedWhenLost,
  settledByOwner,
  settledOnce,
  sleepsLongEnough,
  waitsWithoutNode,
} from "./job-rules.ts";
import { itemLimitKept, itemsWhileMapping, mappedWithItems } from "./map-rules.ts";
import {
  acceptedIsKept,
  allDrained,
  diesOnce,
  epochGrows,
  neverStuck,
  readyWithNeeds,
  revokedSessionEnds,
  rowAgrees,
  runFinishesWithLastStep,
  runStartsOnce,
  runStatusFollows,
  skippedWithNeeds,
} from "./run-rules.ts";

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
  "revoked-session-ends": revokedSessionEnds,
  "settled-by-owner": settledByOwner,
  "settled-once": settledOnce,
  "cancelled-on-request": cancelledOnRequest,
  "requeued-when-lost": requeuedWhenLost,
  "losses-bounded": lossesBounded,
  "limit-kept": limitKept,
  "ready-with-needs": readyWithNeeds,
  "condition-decides": conditionDecides,
  "waits-without-node": waitsWithoutNode,
  "sleeps-long-enough": sleepsLongEnough,
  "skipped-with-needs": skippedWithNeeds,
  "never-stuck": neverStuck,
  "items-while-mapping": itemsWhileMapping,
  "mapped-with-items": mappedWithItems,
  "item-limit-kept": itemLimitKept,
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
 * Checks a whole history for broken promises of the queue. The history starts with the first event
 * and is read when no transaction is open (`readHistory`).
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
    Array.from(rule(history), (breach) => ({ rule: name as HistoryRule, ...breach })),
  );
}
