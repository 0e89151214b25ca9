import { z } from "zod";
import { type AppendAnswer, appendAnswer, type LogChunk, toChunk } from "../logs.ts";
import { type HeartbeatAnswer, heartbeatAnswer, type Session } from "../sessions.ts";
import type { Call } from "../transport/call.ts";
import { row } from "../transport/rows.ts";
import { type ClaimAnswer, claimAnswer, toClaim } from "./claims.ts";
import {
  type Settlement,
  type SettlementAnswer,
  settledAnswer,
  split,
  toItem,
  toSettled,
} from "./settlements.ts";

/** Taking jobs and settling them, alone or in one call. */
export interface Exchanges {
  /**
   * Takes due jobs that are offered to the node, most urgent first.
   *
   * @param wanted.seq - One more than the `seq` of the last answer, from 1. Repeating a number
   *   after a lost answer brings the same jobs, without those that were settled since.
   * @see sql/exchange.sql
   */
  claim(session: Session, wanted: ClaimWish): Promise<ClaimAnswer>;

  /**
   * Records the outcomes of attempts, up to 500 at once. The answers are in the order of the items.
   * A refused item does not affect the others.
   *
   * @see sql/exchange.sql
   */
  settle(node: string, items: readonly Settlement[]): Promise<SettlementAnswer[]>;

  /**
   * Settles, claims and renews the lease in one call, which may be repeated after a lost answer like each of them.
   * The answer to the heartbeat is as of before the others.
   *
   * @see sql/exchange.sql
   */
  exchange(session: Session, wishes: ExchangeWishes): Promise<ExchangeAnswer>;
}

export const exchanges = (call: Call): Exchanges => ({
  async claim(session, wanted) {
    const answer = await call(
      "loom_exchange",
      toArguments(session, { claim: wanted }),
      claimAnswer,
    );
    return toClaim(answer);
  },

  async settle(node, items) {
    const wishes = { settle: items };
    const answer = await call("loom_exchange", toArguments({ node }, wishes), settledAnswer);
    return toSettled(items, answer);
  },

  async exchange(session, wishes) {
    const answer = await call("loom_exchange", toArguments(session, wishes), exchangeAnswer);
    return {
      ...(wishes.claim && { claim: toClaim(claimAnswer.parse(answer)) }),
      settled: wishes.settle?.length ? toSettled(wishes.settle, settledAnswer.parse(answer)) : [],
      ...(answer.heartbeat && { heartbeat: answer.heartbeat }),
      logs: answer.logs ?? [],
    };
  },
});

export interface ClaimWish {
  seq: number;
  /** At most so many jobs. */
  limit: number;
}

/** What one call is to do; whatever is left out is not done. */
export interface ExchangeWishes {
  claim?: ClaimWish | undefined;
  settle?: readonly Settlement[] | undefined;
  /** Renews the lease. */
  renew?: boolean | undefined;
  /** Output that is appended before the attempts are settled. */
  logs?: readonly { id: number; fence: number; chunks: readonly LogChunk[] }[] | undefined;
}

export interface ExchangeAnswer {
  /** Present if the call was to claim. */
  claim?: ClaimAnswer;
  /** In the order of what was to be settled. */
  settled: SettlementAnswer[];
  /** Present if the call was to renew the lease. */
  heartbeat?: HeartbeatAnswer;
  /** In the order of the logs; see `appendLog`. */
  logs: AppendAnswer[];
}

const exchangeAnswer = z.looseObject({
  heartbeat: row(heartbeatAnswer).nullish(),
  logs: z.array(appendAnswer).nullish(),
});

function toArguments(
  { node, epoch }: { node: string; epoch?: number },
  { claim, settle = [], renew, logs }: ExchangeWishes,
): Record<string, unknown> {
  const { plain, items } = split(settle);
  return {
    p_node: node,
    ...(epoch !== undefined && { p_epoch: epoch }),
    ...(claim && { p_seq: claim.seq, p_limit: claim.limit }),
    ...(plain.length > 0 && {
      p_ids: plain.map(({ id }) => id),
      p_fences: plain.map(({ fence }) => fence),
      p_results: plain.map(({ result }) => JSON.stringify(result) ?? "null"),
      ...(plain.every(({ isSingle }) => isSingle) && { p_has_steps: false }),
    }),
    // Without any item the answer still has this part.
    ...((items.length > 0 || (!claim && !renew && plain.length === 0)) && {
      p_items: items.map(toItem),
    }),
    ...(renew && { p_renew: true }),
    ...(logs?.length && {
      p_logs: logs.map(({ id, fence, chunks }) => ({
        job: id,
        fence,
        chunks: chunks.map(toChunk),
      })),
    }),
  };
}
