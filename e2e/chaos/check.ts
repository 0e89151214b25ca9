import {
  type QueueEvent,
  type RecordedCall,
  readHistory,
  type Settlement,
  type SettlementAnswer,
  verifyCalls,
  verifyHistory,
} from "@loom/queue";
import type { LoggedCall } from "./call-log.ts";
import type { Testbed } from "./testbed.ts";

interface Row {
  id: number;
  runId: string | null;
  step: string;
  workflow: string;
  key: string | null;
  after: string[];
  concurrencyKey: string | null;
  concurrencyLimit: number | null;
  maxCrashRestarts: number;
  state: string;
  settledFence: number;
  result: string | null;
}

/** The end of a round, and what is wrong with it. */
export interface Findings {
  /** How many jobs ended how. */
  readonly states: Readonly<Record<string, number>>;
  readonly events: readonly QueueEvent[];
  readonly violations: readonly string[];
}

/** Looks through rows, history and recorded calls for whatever must never be. */
export async function checkRound(
  { sql, queue }: Pick<Testbed, "sql" | "queue">,
  calls: readonly LoggedCall[],
): Promise<Findings> {
  const rows: Row[] = await sql<Row[]>`
    select id::integer, run_id as "runId", step_id as step, workflow_id as workflow, key, to_json(after) as after,
           concurrency_key as "concurrencyKey", concurrency_limit as "concurrencyLimit",
           max_crash_restarts as "maxCrashRestarts", state, settled_fence as "settledFence", result
      from public.loom_job_queue order by id`;
  const events = await readHistory(queue);

  const states: Record<string, number> = {};
  for (const { state } of rows) states[state] = (states[state] ?? 0) + 1;
  const broken = [
    ...verifyHistory(events, { jobs: rows, accepted: acknowledged(calls), drained: true }),
    ...verifyCalls(calls.filter(isAnswered) as unknown as RecordedCall[]),
  ];
  return {
    states,
    events,
    violations: [
      ...broken.map(({ rule, ...rest }) => `${rule}: ${JSON.stringify(rest)}`),
      ...(await queue.verify()).map((text) => `verify: ${text}`),
      ...keysAreThereOnce(rows, calls),
      ...resultsAreTheRecordedOnes(rows, calls),
      ...errorsAreExpected(calls),
    ],
  };
}

const isAnswered = ({ answer }: LoggedCall) => answer !== undefined;

/** Ids that somebody was told: they have to be in the history. */
const acknowledged = (calls: readonly LoggedCall[]) =>
  calls.flatMap(({ method, answer }): (number | string)[] => {
    if (answer === undefined) return [];
    if (method === "enqueue") return (answer as { id: number }[]).map(({ id }) => id);
    if (method !== "startRun" && method !== "retryRun") return [];
    return [(answer as { runId: string }).runId];
  });

/** Every key that was acknowledged is the key of one job, the one that was named. */
function* keysAreThereOnce(rows: readonly Row[], calls: readonly LoggedCall[]): Generator<string> {
  const ids = Map.groupBy(rows, ({ workflow, key }) => `${workflow} ${key}`);
  for (const { method, args, answer } of calls) {
    if (method !== "enqueue" || answer === undefined) continue;
    const jobs = args[0] as { workflow: string; key: string }[];
    for (const [index, { workflow, key }] of jobs.entries()) {
      const there = (ids.get(`${workflow} ${key}`) ?? []).map(({ id }) => id);
      const named = (answer as { id: number }[])[index]?.id;
      if (there.length !== 1 || there[0] !== named) {
        yield `job-of-key: ${workflow} ${key} was acknowledged as ${named}, and is ${there}`;
      }
    }
  }
}

/** The result of a job is what the settle said that was recorded, or one whose answer was lost. */
function* resultsAreTheRecordedOnes(
  rows: readonly Row[],
  calls: readonly LoggedCall[],
): Generator<string> {
  const said = new Map<string, { isSure: boolean; results: Set<string> }>();
  for (const { method, args, answer } of calls) {
    if (method !== "settle") continue;
    for (const [index, item] of (args[1] as Settlement[]).entries()) {
      if (item.outcome !== "succeeded") continue;
      const told = (answer as SettlementAnswer[] | undefined)?.[index]?.answer;
      const isSure = told === "accepted" || told === "salvaged";
      if (told !== undefined && !isSure) continue;
      const claim = `${item.id}#${item.fence}`;
      const known = said.get(claim);
      if (known?.isSure) continue;
      const results = isSure ? new Set<string>() : (known?.results ?? new Set<string>());
      said.set(claim, { isSure, results: results.add(JSON.stringify(item.result)) });
    }
  }
  for (const { id, state, settledFence, result, runId } of rows) {
    if (state !== "succeeded" || result === null) continue;
    const results = said.get(`${id}#${settledFence}`)?.results;
    // A step whose result was taken over from an earlier run was never claimed in this one.
    if (results === undefined && runId !== null && settledFence === 0) continue;
    if (!results?.has(result)) {
      yield `stored-result: job ${id} has ${result}, and fence ${settledFence} said ${[...(results ?? [])]}`;
    }
  }
}

const EXPECTED = ["QUEUE_UNAVAILABLE", "RUN_NOT_FINISHED", "NOTHING_TO_RETRY"];

/** A client hears that nobody answers, and refusals that it asked for; nothing else. */
function* errorsAreExpected(calls: readonly LoggedCall[]): Generator<string> {
  for (const { method, error, caller } of calls) {
    if (error && !EXPECTED.includes(error.code)) {
      yield `unexpected-error: ${caller} got ${error.code} of ${method}: ${error.message}`;
    }
  }
}
