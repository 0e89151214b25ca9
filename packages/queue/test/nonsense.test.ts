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
import { postgresTransport } from "../src/postgres/postgres-transport.ts";
import { supabaseTransport } from "../src/supabase-transport.ts";
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
const job = { ...step, workflow: "w", payload: "1", key: "k", delay_ms: 0, max_crash_restarts: 3 };

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
const slot = { id: "s1", at: "2000-01-02T00:00:00Z", outcome: "fired", start: "now" };

/** Arguments that make sense, by the names of parameters; where functions differ, by both names. */
const sensible = (runId: string): Record<string, readonly unknown[]> => ({
  p_after: [null, "now", "1.0"],
  "loom_list_jobs p_after": [null, 3],
  "loom_list_slots p_after": [null, "2026-11-25T00:00:00Z"],
  "loom_list_runs p_after": [null, `1764110000000000.${runId}`],
  p_agent_version: ["1"],
  p_ago_ms: [0, 900_000],
  p_args: [{ p_run: runId }, { p_jobs: [1] }, { p_workflow: "w", p_paused: true }],
  p_asked_by: [null, "ada"],
  p_capabilities: [["docker"], []],
  p_chunks: [[{ start: 0, chunk: "x" }]],
  p_created_by: [null, "ada"],
  p_count: [1_000],
  p_decided_until: ["2000-01-03T00:00:00Z", "2136-01-01T00:00:00Z"],
  p_digest: ["a".repeat(64), "b".repeat(64)],
  p_doorbell_port: [null, 7000],
  p_epoch: [1, 2],
  p_facts: [{}, { os: "linux" }],
  p_fence: [1, 2],
  p_for_ms: [null, 60_000],
  p_from: [0, 1],
  p_function: ["loom_cancel_run", "loom_cancel_jobs", "loom_pause_workflow"],
  p_holder: ["one", "other"],
  p_incarnation: [randomUUID()],
  p_input: ["{}"],
  p_items: [[{ id: 1, fence: 1, outcome: "succeeded", result: "1" }]],
  p_job: [1, 2, 3],
  p_jobs: [[1, 2, 3]],
  "loom_enqueue_jobs p_jobs": [[job], [job, { ...job, key: "l" }]],
  "loom_start_run p_jobs": [[step], [step, { ...step, step: "b", after: ["a", "a"] }]],
  p_keep_days: [30],
  p_key: [null, "k"],
  p_kinds: [200],
  p_lease_ms: [45_000],
  p_lifetime_ms: [null, 60_000],
  p_limit: [1, 10],
  p_mode: ["all", "failed", "from"],
  p_name: ["ci", "laptop"],
  p_node: ["forge", "oracle"],
  p_note: [null, "because"],
  p_notify: [false, true],
  p_offer_ms: [15_000],
  p_offers: [[{ job: 2, node: "forge", placement: {} }]],
  p_parent: [null],
  p_paused: [true, false],
  p_per_kind: [50],
  p_plan: [{ version: "1", input: "{}", jobs: [step] }],
  p_reason: ["because"],
  p_reasons: [[{ job: 2, reason: { code: "c", summary: "s" } }]],
  p_request: [
    { who: "ada", action: "a" },
    { who: "ada", action: "a", key: "k", fingerprint: "f" },
    { who: "ada", action: "a", existing: [0, 2] },
  ],
  p_retry_of: [null, runId],
  p_revision: [1, 2],
  p_run: [runId, randomUUID()],
  p_schedule: ["nightly", "hourly"],
  p_schedules: [[definition], [definition, { ...definition, id: "hourly" }]],
  p_scopes: [["read"], ["run", "admin"]],
  p_seq: [1, 2],
  p_session: [false, true],
  p_since: [null, "2026-11-25T00:00:00Z"],
  p_slots: [5],
  "loom_decide_slots p_slots": [
    [slot],
    [slot, { ...slot, id: "s2", at: "2000-01-02T12:00:00Z", start: "after-running" }],
  ],
  p_state: [null, "running"],
  p_status: [null, "running", "active", "paused", "draining"],
  p_step: [null, "only"],
  p_tailnet_address: ["100.64.0.7"],
  p_token: [randomUUID()],
  p_traceparent: [null, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
  p_trigger: ["api"],
  p_until: [null, "2036-11-25T00:00:00Z"],
  p_version: ["1"],
  p_workflow: ["made-for-test", "w"],
});

const oddValues = [null, true, "", " ", "\0", "\ud800", "{", "NaN", "-1", "1e9", "infinity", "x"];
const oddNumbers = [-1, 0, 0.5, 2 ** 31, 2 ** 53, 2 ** 63, 1e308, -1e308, Number.NaN];
const odd = fc.oneof(
  fc.constantFrom<unknown>(...oddValues, "9".repeat(40), "x".repeat(5_000), [], {}, [null], [[]]),
  fc.constantFrom(...oddNumbers),
  fc.constantFrom<unknown>({ toString: 1 }, ["a\0"], [1, "2", {}], { a: { b: "\0" } }),
  fc.jsonValue(),
);

/** The same value, often with something in it that is odd. */
function spoilt(value: unknown): fc.Arbitrary<unknown> {
  const inside = Array.isArray(value)
    ? fc.tuple(...value.map(spoilt))
    : typeof value === "object" && value !== null
      ? fc.record(Object.fromEntries(Object.entries(value).map(([key, of]) => [key, spoilt(of)])))
      : fc.constant(value);
  return fc.oneof({ weight: 9, arbitrary: inside }, { weight: 1, arbitrary: odd });
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
