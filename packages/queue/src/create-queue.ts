import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { apiTokens, type Call } from "./api-token.ts";
import { databaseFacts } from "./database-facts.ts";
import {
  JobNotFoundError,
  NodeNotFoundError,
  QueueSchemaError,
  RunNotFoundError,
} from "./errors.ts";
import { queueEvent } from "./event.ts";
import { claimedJob, job } from "./job.ts";
import { jobWait } from "./job-wait.ts";
import { leadership } from "./leadership.ts";
import { lists } from "./lists.ts";
import { logPage } from "./log-chunk.ts";
import { enqueuedJob, toNewRow } from "./new-job.ts";
import {
  doorbell,
  heartbeatAnswer,
  helloAnswer,
  lostSession,
  type NodeOffer,
  node,
  reportAnswer,
} from "./node.ts";
import { toPlannedRow } from "./planned-job.ts";
import type { Queue } from "./queue.ts";
import { queueDepth } from "./queue-depth.ts";
import { actingTransport } from "./request.ts";
import { row } from "./row.ts";
import { run, startedRun } from "./run.ts";
import { schedules } from "./schedule.ts";
import { settlementAnswer, toItem } from "./settlement.ts";
import { toStorable } from "./storable-text.ts";
import { supabaseTransport } from "./supabase-transport.ts";
import type { Transport } from "./transport.ts";
import { waitingJobs } from "./waiting-job.ts";

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

const pruned = z.object({
  runs: z.int(),
  jobs: z.int(),
  slots: z.int(),
  events: z.int(),
  more: z.boolean(),
});

const cancelAnswer = z.object({
  id: z.int(),
  answer: z.enum(["cancelled", "requested", "finished", "unknown"]),
});

/**
 * The queue over a Supabase client (or anything that speaks PostgREST).
 *
 * @param options.timeoutMs - When to give an answer up; default 10 000.
 */
export function createQueue(options: { client: SupabaseClient; timeoutMs?: number }): Queue {
  return queueOver(supabaseTransport(options.client, options.timeoutMs ?? 10_000));
}

/**
 * The queue over any transport.
 *
 * @param options.notify - Ring the channel `loom_offers` for whom there are new offers. A
 *   notification takes a lock at commit that all writers share, so only with listeners.
 */
export function queueOver(
  transport: Transport,
  { notify = false }: { notify?: boolean } = {},
): Queue {
  const call: Call = async (name, args, schema) => {
    const answer = schema.safeParse(await transport.call(name, args));
    // Ours on both ends: an answer that does not fit means two versions of Loom.
    if (!answer.success) throw new QueueSchemaError(name, z.prettifyError(answer.error));
    return answer.data;
  };

  return {
    ...apiTokens(call),
    ...lists(call),
    ...leadership(call),
    ...schedules(call),

    actingFor: (request) => queueOver(actingTransport(transport, request), { notify }),

    startRun: (plan, { trigger = "api", key, askedBy, retryOf, traceparent } = {}) =>
      call(
        "loom_start_run",
        {
          p_workflow: plan.workflow,
          p_version: plan.version,
          p_input: JSON.stringify(plan.input),
          p_jobs: plan.jobs.map((planned) => ({ ...toPlannedRow(planned), traceparent })),
          p_trigger: trigger,
          p_key: key ?? null,
          p_asked_by: askedBy ?? null,
          p_retry_of: retryOf ?? null,
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

    async cancelRun(runId) {
      const cancelled = z.guid().safeParse(runId).success
        ? await call(
            "loom_cancel_run",
            { p_run: runId },
            z
              .object({ status: z.enum(["running", "succeeded", "failed", "cancelled"]) })
              .nullable(),
          )
        : null;
      if (!cancelled) throw new RunNotFoundError(runId);
      return cancelled.status;
    },

    async retryRun(runId, { mode, key, version, ...rest }) {
      const args = {
        p_run: runId,
        p_mode: mode,
        p_step: "step" in rest ? rest.step : null,
        p_key: key ?? null,
        p_version: version ?? null,
      };
      const started = z.guid().safeParse(runId).success
        ? await call("loom_retry_run", args, row(startedRun).nullable())
        : null;
      if (!started) throw new RunNotFoundError(runId);
      return started;
    },

    enqueue: (jobs) =>
      call(
        "loom_enqueue_jobs",
        { p_jobs: jobs.map(toNewRow), p_notify: notify },
        z.array(enqueuedJob),
      ),

    async getJob(jobId) {
      const found = await call("loom_get_job", { p_job: jobId }, row(job).nullable());
      if (!found) throw new JobNotFoundError(jobId);
      return found;
    },

    async weighJob(jobId) {
      const found = await call("loom_weigh_job", { p_job: jobId }, row(jobWait).nullable());
      if (!found) throw new JobNotFoundError(jobId);
      return found;
    },

    cancel: (jobIds) => call("loom_cancel_jobs", { p_jobs: jobIds }, z.array(cancelAnswer)),

    redrive: (jobIds) =>
      call(
        "loom_redrive_jobs",
        { p_jobs: jobIds },
        z.array(row(z.object({ id: z.int(), redrivenAs: z.int().nullable() }))),
      ),

    async pauseWorkflow(workflow, note) {
      const args = { p_workflow: workflow, p_paused: true, p_note: note ?? null };
      await call("loom_pause_workflow", args, z.unknown());
    },

    async resumeWorkflow(workflow) {
      await call("loom_pause_workflow", { p_workflow: workflow, p_paused: false }, z.unknown());
    },

    listNodes: () => call("loom_list_nodes", {}, z.array(row(node))),

    listDoorbells: () => call("loom_list_doorbells", {}, z.array(row(doorbell))),

    async setNodeStatus(name, { status, note, forMs }) {
      const args = {
        p_node: name,
        p_status: status,
        p_note: note === undefined ? null : toStorable(note),
        p_for_ms: forMs ?? null,
      };
      const answers = z.object({ returned: z.int() }).nullable();
      const set = await call("loom_set_node_status", args, answers);
      if (!set) throw new NodeNotFoundError(name);
      return set;
    },

    listWaiting: ({ perKind = 50 } = {}) =>
      call("loom_list_waiting", { p_per_kind: perKind }, waitingJobs),

    queueDepth: ({ kinds = 200, count = 1_000 } = {}) =>
      call("loom_queue_depth", { p_kinds: kinds, p_count: count }, queueDepth),

    async place({ offers, refusals, offerMs = 15_000 }) {
      const { placed } = await call(
        "loom_place_jobs",
        { p_offers: offers, p_reasons: refusals, p_offer_ms: offerMs, p_notify: notify },
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

    readLog: (jobId, { fence, from = 0, limit = 100 } = {}) =>
      call(
        "loom_read_log",
        { p_job: jobId, p_fence: fence ?? null, p_from: from, p_limit: limit },
        logPage,
      ),

    readEvents: ({ after = null, limit = 500 } = {}) =>
      call(
        "loom_read_events",
        { p_after: after, p_limit: limit },
        z.object({ events: z.array(row(queueEvent)), cursor: z.string().nullable() }),
      ),

    reap: ({ limit = 500 } = {}) => call("loom_reap", { p_limit: limit }, row(reaped)),

    async expire({ limit = 500 } = {}) {
      const { expired } = await call(
        "loom_expire_jobs",
        { p_limit: limit },
        z.object({ expired: z.int() }),
      );
      return expired;
    },

    prune: ({ keepDays = 30, limit = 500 } = {}) =>
      call("loom_prune", { p_keep_days: keepDays, p_limit: limit }, row(pruned)),

    describeDatabase: () => call("loom_describe_database", {}, row(databaseFacts)),

    verify: () => call("loom_verify", {}, z.array(z.string())),
  };
}

const toOffer = (offer: NodeOffer) => ({
  p_capabilities: offer.capabilities,
  p_slots: offer.slots,
  p_tailnet_address: offer.tailnetAddress ?? null,
  p_doorbell_port: offer.doorbellPort ?? null,
  p_facts: offer.facts ?? {},
});
