import { z } from "zod";
import type { Call } from "./call.ts";
import { type ClaimedJob, claimedJob } from "./job.ts";
import type { LogChunk } from "./log-chunk.ts";
import {
  type HeartbeatAnswer,
  type HelloAnswer,
  heartbeatAnswer,
  helloAnswer,
  lostSession,
  type NodeOffer,
  type NodeReport,
  type ReportAnswer,
  reportAnswer,
  type Session,
} from "./node.ts";
import { row } from "./row.ts";
import { type Settlement, type SettlementAnswer, settlementAnswer, toItem } from "./settlement.ts";
import { toStorable } from "./storable-text.ts";

export type ClaimAnswer =
  | {
      session: "live";
      /** The last number that brought jobs. The next claim takes a higher one. */
      seq: number;
      jobs: ClaimedJob[];
    }
  | { session: "dead" | "superseded" };

const claimAnswer = z.discriminatedUnion("session", [
  z.object({ session: z.literal("live"), seq: z.int(), jobs: z.array(row(claimedJob)) }),
  lostSession,
]);

/** What a node does, from its hello on. */
export interface Sessions {
  /**
   * Opens a node's session. Jobs of an older incarnation of the node go back at once.
   *
   * @see sql/hello.sql
   */
  hello(report: NodeReport): Promise<HelloAnswer>;

  /**
   * Says what the node offers from now on. When its capabilities differ from those before, offers
   * that demand something are placed again.
   *
   * @see sql/report_node.sql
   */
  reportNode(session: Session, report: NodeOffer): Promise<ReportAnswer>;

  /** Renews the lease of all the node's running jobs. @see sql/heartbeat.sql */
  heartbeat(session: Session): Promise<HeartbeatAnswer>;

  /**
   * Gives offers back that the node will not take, before claiming them.
   *
   * @returns The ids of those that were still its offers.
   * @see sql/decline_jobs.sql
   */
  decline(node: string, jobIds: readonly number[], reason: string): Promise<number[]>;

  /**
   * Takes due jobs that are offered to the node, most urgent first.
   *
   * @param options.seq - One more than the `seq` of the last answer, from 1. Repeating a number
   *   after a lost answer brings the same jobs.
   * @see sql/claim_jobs.sql
   */
  claim(session: Session, options: { seq: number; limit: number }): Promise<ClaimAnswer>;

  /**
   * Writes what attempts came to; up to 500 at once. The answer is per item and in
   * the order of the items: one that is refused does not harm the others.
   *
   * @see sql/settle_jobs.sql
   */
  settle(node: string, items: Settlement[]): Promise<SettlementAnswer[]>;

  /**
   * Appends output to the log of an attempt that the node still owns. Repeating it changes nothing.
   * A chunk holds at most 256 KiB. What Postgres cannot keep is replaced: a NUL by SUB (U+001A).
   *
   * @returns `too_large` beyond 10 MiB an attempt, `stale` when the claim is settled or a newer one exists.
   * @see sql/append_log.sql
   */
  appendLog(
    claim: { node: string; id: number; fence: number },
    chunks: readonly LogChunk[],
  ): Promise<"accepted" | "stale" | "unknown" | "too_large">;
}

export const sessions = (call: Call): Sessions => ({
  hello: (report) =>
    call(
      "loom_hello",
      {
        p_node: report.name,
        p_incarnation: report.incarnation,
        p_lease_ms: report.leaseMs,
        p_agent_version: report.agentVersion ?? null,
        ...toOffer(report),
      },
      row(helloAnswer),
    ),

  reportNode: ({ node: name, epoch }, report) =>
    call(
      "loom_report_node",
      { p_node: name, p_epoch: epoch, ...toOffer(report) },
      row(reportAnswer),
    ),

  heartbeat: ({ node: name, epoch }) =>
    call("loom_heartbeat", { p_node: name, p_epoch: epoch }, row(heartbeatAnswer)),

  async decline(name, jobIds, reason) {
    const args = { p_node: name, p_jobs: jobIds, p_reason: toStorable(reason) };
    const { declined } = await call(
      "loom_decline_jobs",
      args,
      z.object({ declined: z.array(z.int()) }),
    );
    return declined;
  },

  claim: ({ node: name, epoch }, { seq, limit }) =>
    call(
      "loom_claim_jobs",
      { p_node: name, p_epoch: epoch, p_seq: seq, p_limit: limit },
      claimAnswer,
    ),

  settle: (name, items) =>
    call(
      "loom_settle_jobs",
      { p_node: name, p_items: items.map(toItem) },
      z.array(settlementAnswer),
    ),

  async appendLog({ node: name, id, fence }, chunks) {
    const storable = chunks.map(({ start, chunk }) => ({ start, chunk: toStorable(chunk) }));
    const args = { p_node: name, p_job: id, p_fence: fence, p_chunks: storable };
    const answers = z.object({ answer: z.enum(["accepted", "stale", "unknown", "too_large"]) });
    return (await call("loom_append_log", args, answers)).answer;
  },
});

const toOffer = (offer: NodeOffer) => ({
  p_capabilities: offer.capabilities,
  p_slots: offer.slots,
  p_tailnet_address: offer.tailnetAddress ?? null,
  p_doorbell_port: offer.doorbellPort ?? null,
  p_facts: offer.facts ?? {},
});
