import type { Settlement, SettlementAnswer } from "../../settlement.ts";
import type { CallRule } from "../call-rule.ts";
import { answered, type RecordedCall } from "../recorded-call.ts";

/** An item that was recorded: accepted, or salvaged. */
interface Recorded {
  node: string;
  item: Settlement;
  answer: SettlementAnswer;
  endedAt: number;
}

/** Every item of every settle that was recorded. */
export const recordedItems = (calls: readonly RecordedCall[]): Recorded[] =>
  answered(calls, "settle").flatMap(({ args: [node, items], answer: answers, endedAt }) =>
    items.flatMap((item, index) => {
      const answer = answers[index];
      return answer?.answer === "accepted" || answer?.answer === "salvaged"
        ? { node, item, answer, endedAt }
        : [];
    }),
  );

/** Of all settles of one claim one is recorded. */
export const settledOncePerClaim: CallRule = function* (calls) {
  const claims = Map.groupBy(recordedItems(calls), ({ item }) => `${item.id}#${item.fence}`);
  for (const [claim, [first, ...others]] of claims) {
    for (const { node, item } of others) {
      const message = `${claim} was recorded as ${first?.item.outcome}, and as ${item.outcome}`;
      yield { message, node, jobId: item.id };
    }
  }
};

/** A job succeeds once. */
export const succeededOnce: CallRule = function* (calls) {
  const successes = recordedItems(calls).filter(({ item }) => item.outcome === "succeeded");
  for (const [jobId, [first, ...others]] of Map.groupBy(successes, ({ item }) => item.id)) {
    for (const { node, item } of others) {
      const message = `it succeeded with fence ${first?.item.fence}, and with ${item.fence}`;
      yield { message, node, jobId };
    }
  }
};
