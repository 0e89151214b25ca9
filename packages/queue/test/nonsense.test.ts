import { randomUUID } from "node:crypto";
import { QueueRequestError, QueueUnavailableError, type Transport } from "@loom/queue";
import {
  databaseTest,
  makeJob,
  makePlan,
  offerAll,
  type QueueFixtures,
  runningJob,
} from "@loom/queue/testing";
import { cron } from "@loom/workflow";
import fc from "fast-check";
import { describe, expect } from "vitest";
import { postgresTransport } from "../src/transport/postgres.ts";
import { supabaseTransport } from "../src/transport/supabase.ts";
import { apiFunctions } from "./api-functions.ts";
import { postgresTest } from "./fixtures.ts";

const step = {
  step: "a",
  after: [],
  requires: ["docker"],
  prefers: [],
  host: "forge",
  priority: 100,
  timeout_ms: 1_000,
  max_attempts: 2,
  backoff_kind: "fixed",
  backoff_ms: 0,
  backoff_max_ms: 0,
};
const spec = { ...step, workflow: "w" };

const definition = {
  id: "nightly",
  workflow: "w",
  expression: "@daily",
  time_zone: "UTC",
  input: "{}",
  overlap: "skip",
  missed: "once",
  grace_ms: 60_000,
};
const slot = { id: "s1", at: "2000-01-02T00:00:00Z", decision: "fired", start: "now" };

/** Arguments that make sense, by the names of parameters; where functions differ, by both names. */
const sensible = (runId: string): Record<string, readonly unknown[]> => ({
  p_after: [null, "now", "1.0"],
  "loom_list_items p_after": [null, 3],
  "loom_list_jobs p_after": [null, 3],
  "loom_list_slots p_after": [null, "2026-11-25T00:00:00Z"],
  "loom_list_runs p_after": [null, `1764110000000000.${runId}`],
  p_agent_version: ["1"],
  p_allow: [true, false],
  p_ago_ms: [0, 900_000],
  p_answer: [null, "ok"],
  p_retention: [null, [{ workflow: "w", succeeded_ms: 1, failed_ms: null }]],
  p_value: ["{}"],
  p_args: [{ p_run: runId }, { p_jobs: [1] }, { p_workflow: "w", p_paused: true }],
  p_asked_by: [null, "ada"],
  p_attempt: [1, 8],
  p_boot: [null, randomUUID()],
  p_bootstrap: [null, "a".repeat(64)],
  p_busy: [[], ["chat"]],
  p_capabilities: [["docker"], []],
  p_chunks: [[{ start: 0, chunk: "x" }]],
  p_created_by: [null, "ada"],
  p_count: [1_000],
  p_decided_until: ["2000-01-03T00:00:00Z", "2136-01-01T00:00:00Z"],
  p_by: ["token ada"],
  p_decision: ["approved", "rejected"],
  p_delivery: [randomUUID()],
  p_digest: ["a".repeat(64), "b".repeat(64)],
  p_waiting_ms: [null, 60_000],
  p_wake: [true, false],
  p_wake_port: [null, 7000],
  p_enabled: [true, false],
  p_epoch: [1, 2],
  p_error: [null, "it answered 500"],
  p_facts: [{}, { os: "linux" }],
  p_failure: [null, "it cannot be planned"],
  p_fence: [1, 2],
  p_for_ms: [null, 60_000],
  p_force: [false, true],
  p_from: [0, 1],
  p_function: ["loom_cancel_run", "loom_cancel_jobs", "loom_pause_workflow"],
  p_holder: ["one", "other"],
  p_hook: ["chat", "other"],
  p_host: [null, "kitchen"],
  p_incarnation: [randomUUID()],
  p_input: ["{}"],
  p_is_hub: [false, true],
  p_items: [[{ id: 1, fence: 1, outcome: "succeeded", result: "1" }]],
  p_job: [1, 2, 3],
  p_jobs: [[1, 2, 3]],
  p_concurrency_keys: [null],
  p_delays: [null, [0]],
  p_event: ["paid"],
  p_fences: [[1]],
  p_has_steps: [true, false],
  p_hosts: [null, ["forge"]],
  p_id: [null, runId, randomUUID()],
  p_ids: [null, [1]],
  "loom_forget_files p_ids": [[randomUUID()]],
  p_grace_s: [0, 86_400],
  p_size: [0, 10],
  p_store: ["folder", "bucket"],
  p_keys: [null, ["k"]],
  p_logs: [null, [{ job: 1, fence: 1, chunks: [{ start: 0, chunk: "x" }] }]],
  p_payloads: [["1"]],
  p_renew: [false, true],
  p_results: [["1"]],
  p_seen: [null, "0"],
  p_spec_of: [null, [1]],
  p_specs: [[spec]],
  p_traceparents: [null],
  "loom_start_run p_jobs": [
    [step],
    [step, { ...step, step: "b", after: ["a", "a"] }],
    [step, { ...step, step: "b", after: ["a"], map: { step: "a", tolerate: "5%" } }],
  ],
  p_keep_days: [30],
  p_key: [null, "k"],
  "loom_revoke_key p_key": [randomUUID()],
  p_kinds: [200],
  p_lease_ms: [45_000],
  p_lifetime_ms: [null, 60_000],
  p_limit: [1, 10],
  p_lines: [1, 100],
  p_machine: [null, randomUUID()],
  p_may_offer: [[], ["has-nas"]],
  p_map: [1, 2],
  p_mode: ["all", "failed", "from"],
  p_name: ["ci", "laptop", "chat"],
  p_names: [["has-nas"], ["*"]],
  p_node: ["forge", "oracle"],
  p_nodes: [[], ["forge"]],
  p_order: [randomUUID()],
  p_note: [null, "because"],
  p_notify: [false, true],
  "loom_sync_notify p_notify": [
    [{ workflow: "w", rules: { "run.failed": ["chat"] } }],
    [{ workflow: "w", rules: null }],
  ],
  p_offer_ms: [15_000],
  p_open: [[], [{ job: 1, nodes: ["forge"] }]],
  p_offers: [[{ job: 2, node: "forge", placement: {} }]],
  p_parent: [null],
  p_past_ms: [0, 86_400_000],
  p_paused: [true, false],
  "loom_send_signal p_payload": ["1"],
  p_pending: [true, false],
  p_per_kind: [50],
  p_plan: [{ version: "1", input: "{}", jobs: [step] }],
  p_raw_input: [null, '{"raw":1}'],
  p_reason: ["because"],
  p_reasons: [[{ job: 2, reason: { code: "c", summary: "s" } }]],
  p_request: [
    { who: "ada", action: "a" },
    { who: "ada", action: "a", key: "k", fingerprint: "f" },
    { who: "ada", action: "a", existing: [0, 2] },
  ],
  p_retry_after_ms: [null, 30_000],
  p_retry_of: [null, runId],
  p_revision: [1, 2],
  p_rules: [["run.failed"], ["node.lost", "step.waiting"]],
  p_run: [runId, randomUUID()],
  p_schedule: ["nightly", "hourly"],
  p_schedules: [[definition], [definition, { ...definition, id: "hourly" }]],
  p_scopes: [["read"], ["run", "admin"]],
  p_sealed: ["sealed"],
  p_seq: [1, 2],
  p_sent_by: [null, "token ada"],
  p_session: [false, true],
  p_signed: [{ manifest: "{}", signature: "s" }],
  p_since: [null, "2026-11-25T00:00:00Z"],
  p_slots: [5],
  "loom_decide_slots p_slots": [
    [slot],
    [slot, { ...slot, id: "s2", at: "2000-01-02T12:00:00Z", start: "after-running" }],
  ],
  p_source: [null, "code"],
  p_state: [null, "running"],
  "loom_record_delivery p_status": [null, 204],
  p_status: [null, "running", "active", "paused", "draining"],
  p_step: [null, "only"],
  p_target: [{ kind: "webhook" }],
  p_tailnet_address: ["100.64.0.7"],
  p_tailnet_id: [null, "nABC"],
  p_took_ms: [0, 12],
  p_token: [randomUUID()],
  p_token_digest: [null, "a".repeat(64)],
  p_traceparent: [null, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
  p_trigger: ["api"],
  p_uses: [1, 2],
  p_until: [null, "2036-11-25T00:00:00Z"],
  p_version: ["1"],
  p_up_ms: [null, 0, 3_600_000],
  p_workflow: ["made-for-test", "w"],
  p_workflows: [["w"], ["w", "made-for-test"]],
});

const invalidValues = [
  null,
  true,
  "",
  " ",
  "\0",
  "\ud800",
  "{",
  "NaN",
  "-1",
  "1e9",
  "infinity",
  "x",
];
const invalidNumbers = [-1, 0, 0.5, 2 ** 31, 2 ** 53, 2 ** 63, 1e308, -1e308, Number.NaN];
const invalid = fc.oneof(
  fc.constantFrom<unknown>(
    ...invalidValues,
    "9".repeat(40),
    "x".repeat(5_000),
    [],
    {},
    [null],
    [[]],
  ),
  fc.constantFrom(...invalidNumbers),
  fc.constantFrom<unknown>({ toString: 1 }, ["a\0"], [1, "2", {}], { a: { b: "\0" } }),
  fc.jsonValue(),
);

/** The same value, often with something in it that is invalid. */
function spoilt(value: unknown): fc.Arbitrary<unknown> {
  const inside = Array.isArray(value)
    ? fc.tuple(...value.map(spoilt))
    : typeof value === "object" && value !== null
      ? fc.record(Object.fromEntries(Object.entries(value).map(([key, of]) => [key, spoilt(of)])))
      : fc.constant(value);
  return fc.oneof({ weight: 9, arbitrary: inside }, { weight: 1, arbitrary: invalid });
}

/** Makes something for the functions to find: jobs in most states, 1 to 6, two of them in runs. */
async function furnish({ queue, database }: QueueFixtures): Promise<string> {
  const { runId } = await runningJob(queue);
  const { runId: cancelled } = await queue.startRun(makePlan([{ step: "only" }]));
  await queue.cancelRun(cancelled);
  await queue.enqueue([makeJob(), makeJob({ host: "forge" }), makeJob({ startWithinMs: 60_000 })]);
  await offerAll(queue, "oracle");
  await queue.enqueue([makeJob()]);
  const { epoch } = await queue.lead("one", 45_000);
  const nightly = cron("@daily", { overlap: "queue-one" });
  await queue.syncSchedules([{ ...nightly, id: "nightly", workflow: "made-for-test" }], epoch);
  await database.sql`update public.loom_schedules set decided_until = '2000-01-01'`;
  await queue.createHook({
    name: "chat",
    rules: ["run.failed"],
    workflows: [],
    waitingMs: null,
    enabled: true,
    target: { shown: {}, sealed: "" },
    createdBy: "ada",
  });
  await queue.testHook("chat", "ada");
  return runId;
}

async function refusesNonsense(
  name: string,
  transport: Transport,
  fixtures: QueueFixtures,
): Promise<void> {
  const values = sensible(await furnish(fixtures));
  const [signature] = await fixtures.database.sql<{ names: string[] | null }[]>`
    select proargnames as names from pg_proc where proname = ${name}`;
  const parameters = (signature?.names ?? []).map((parameter): [string, fc.Arbitrary<unknown>] => {
    const known = values[`${name} ${parameter}`] ?? values[parameter];
    if (!known) throw new Error(`no sensible value for ${parameter}`);
    return [parameter, fc.oneof(...known.map(spoilt))];
  });
  const calls = fc.array(fc.record(Object.fromEntries(parameters)), {
    minLength: 25,
    maxLength: 25,
  });
  const refusalOf = (args: Record<string, unknown>) =>
    transport.call(name, args).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  const call = async (args: Record<string, unknown>) => {
    let error = await refusalOf(args);
    // "Try again" is an answer about the connection, not the argument, if it does not last.
    if (error instanceof QueueUnavailableError) error = await refusalOf(args);
    if (error !== undefined && !(error instanceof QueueRequestError)) {
      throw new Error(`${JSON.stringify(args)} leads to ${error}`, { cause: error });
    }
  };
  await fc.assert(
    fc.asyncProperty(calls, async (sets) => {
      await Promise.all(sets.map(call));
    }),
    { seed: 20_261_123, numRuns: 20 },
  );
  expect(await fixtures.queue.verify()).toEqual([]);
}

const takesNothing = [
  "loom_describe_database",
  "loom_list_hooks",
  "loom_list_nodes",
  "loom_list_paused",
  "loom_list_schedules",
  "loom_list_tokens",
  "loom_verify",
];
const functions = apiFunctions.filter((name) => !takesNothing.includes(name));

describe("nonsense", () => {
  databaseTest.for(functions)(
    "makes %s over supabase-js refuse an argument, and break nothing",
    { timeout: 60_000 },
    async (name, { client, queue, database }) => {
      await refusesNonsense(name, supabaseTransport(client, 10_000), { queue, database });
    },
  );

  postgresTest.for(functions)(
    "makes %s over a direct connection refuse an argument, and break nothing",
    { timeout: 60_000 },
    async (name, { sql, queue, database }) => {
      await refusesNonsense(name, postgresTransport(sql, 10_000), { queue, database });
    },
  );
});
