import type { PlannedJob } from "@loom/workflow";
import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { QueueSchemaError, RunNotFoundError } from "./errors.ts";
import { claimedJob, waitingJob } from "./job.ts";
import { heartbeatAnswer, helloAnswer, lostSession, node } from "./node.ts";
import type { Queue } from "./queue.ts";
import { row } from "./row.ts";
import { run, startedRun } from "./run.ts";
import { settlementAnswer, toItem } from "./settlement.ts";
import { supabaseTransport } from "./supabase-transport.ts";
import type { Transport } from "./transport.ts";

const claimAnswer = z.discriminatedUnion("session", [
  z.object({ session: z.literal("live"), seq: z.int(), jobs: z.array(row(claimedJob)) }),
  lostSession,
]);

const reaped = z.object({
  reaped: z.boolean(),
  dead: z.array(z.string()),
  requeued: z.int(),
  expiredOffers: z.int(),
});

/**
 * The queue over a Supabase client (or anything that speaks PostgREST).
 *
 * @param options.timeoutMs - When to give an answer up; default 10 000.
 */
export function createQueue(options: { client: SupabaseClient; timeoutMs?: number }): Queue {
  return queueOver(supabaseTransport(options.client, options.timeoutMs ?? 10_000));
}

/** The queue over any transport. */
export function queueOver(transport: Transport): Queue {
  async function call<Schema extends z.ZodType>(
    name: string,
    args: Record<string, unknown>,
    schema: Schema,
  ): Promise<z.output<Schema>> {
    const answer = schema.safeParse(await transport.call(name, args));
    // Ours on both ends: an answer that does not fit means two versions of Loom.
    if (!answer.success) throw new QueueSchemaError(name, z.prettifyError(answer.error));
    return answer.data;
  }

  return {
    startRun: (plan, { trigger = "api", key, askedBy } = {}) =>
      call(
        "loom_start_run",
        {
          p_workflow: plan.workflow,
          p_version: plan.version,
          p_input: JSON.stringify(plan.input),
          p_jobs: plan.jobs.map(toRow),
          p_trigger: trigger,
          p_key: key ?? null,
          p_asked_by: askedBy ?? null,
        },
        row(startedRun),
      ),

    async getRun(runId) {
      // The function takes a uuid; anything else is simply not the id of a run.
      const found = z.guid().safeParse(runId).success
        ? await call("loom_get_run", { p_run: runId }, row(run).nullable())
        : null;
      if (!found) throw new RunNotFoundError(runId);
      return found;
    },

    listNodes: () => call("loom_list_nodes", {}, z.array(row(node))),

    listWaiting: ({ perKind = 50 } = {}) =>
      call("loom_list_waiting", { p_per_kind: perKind }, z.array(row(waitingJob))),

    async place({ offers, refusals, offerMs = 15_000 }) {
      const { placed } = await call(
        "loom_place_jobs",
        { p_offers: offers, p_reasons: refusals, p_offer_ms: offerMs },
        z.object({ placed: z.array(z.int()) }),
      );
      return placed;
    },

    hello: (report) =>
      call(
        "loom_hello",
        {
          p_node: report.name,
          p_incarnation: report.incarnation,
          p_lease_ms: report.leaseMs,
          p_capabilities: report.capabilities,
          p_slots: report.slots,
          p_agent_version: report.agentVersion ?? null,
          p_tailnet_address: report.tailnetAddress ?? null,
          p_doorbell_port: report.doorbellPort ?? null,
          p_facts: report.facts ?? {},
        },
        row(helloAnswer),
      ),

    heartbeat: ({ node: name, epoch }) =>
      call("loom_heartbeat", { p_node: name, p_epoch: epoch }, row(heartbeatAnswer)),

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

    reap: ({ limit = 500 } = {}) => call("loom_reap", { p_limit: limit }, row(reaped)),
  };
}

const toRow = (job: PlannedJob) => ({
  step: job.step,
  after: job.after,
  requires: job.requires,
  prefers: job.prefers,
  host: job.host,
  priority: job.priority,
  timeout_ms: job.timeoutMs,
  max_attempts: job.retry.attempts,
  backoff_kind: job.retry.backoff.kind,
  backoff_ms: job.retry.backoff.delayMs,
  backoff_max_ms: job.retry.backoff.maxDelayMs,
});
