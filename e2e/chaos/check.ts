import type { QueueEvent, Settlement, SettlementAnswer } from "@loom/queue";
import { type RecordedCall, readHistory, verifyCalls, verifyHistory } from "@loom/queue/verify";
import type { LoggedCall } from "./queue-client.ts";
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
  runsAfter: "success" | "failure" | "always";
  isOptional: boolean;
  cascades: boolean;
  hasCondition: boolean;
  waitsFor: string | null;
  sleepMs: number | null;
  items: { total: number | null; tolerated: number | null; concurrency: number | null } | null;
  state: string;
  settledFence: number;
  result: string | null;
}

/** The state of the queue at the end of a round, and the rules that it violates. */
export interface RoundCheck {
  /** The number of jobs by final state. */
  readonly states: Readonly<Record<string, number>>;
  readonly events: readonly QueueEvent[];
  readonly violations: readonly string[];
}

/** Checks rows, history and recorded calls against every rule. */
export async function checkRound(
  { sql, queue }: Pick<Testbed, "sql" | "queue">,
  calls: readonly LoggedCall[],
): Promise<RoundCheck> {
  const rows: Row[] = await sql<Row[]>`
    select id::integer, run_id as "runId", step_id as step, workflow_id as workflow, key, to_json(after) as after,
           concurrency_key as "concurrencyKey", concurrency_limit as "concurrencyLimit",
           max_crash_restarts as "maxCrashRestarts", runs_after as "runsAfter", is_optional as "isOptional", cascades, has_condition as "hasCondition",
           wait ->> 'kind' as "waitsFor", (wait ->> 'for_ms')::integer as "sleepMs", state, settled_fence as "settledFence", result,
           (select json_build_object('total', map.total, 'tolerated', map.tolerated,
                                     'concurrency', (job.map ->> 'concurrency')::integer)
              from public.loom_maps as map where map.job_id = job.id) as items
      from public.loom_job_queue as job order by id`;
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
      ...violatedKeys(rows, calls),
      ...violatedResults(rows, calls),
      ...unexpectedErrors(calls),
    ],
  };
}

const isAnswered = ({ answer }: LoggedCall) => answer !== undefined;

/** The ids that a caller received: they have to be in the history. */
const acknowledged = (calls: readonly LoggedCall[]) =>
  calls.flatMap(({ method, answer }): (number | string)[] => {
    if (answer === undefined) return [];
    if (method === "enqueue") return (answer as { id: number }[]).map(({ id }) => id);
    if (method !== "startRun" && method !== "retryRun") return [];
    return [(answer as { runId: string }).runId];
  });

/** Every acknowledged key belongs to exactly one job: the one that the answer named. */
function* violatedKeys(rows: readonly Row[], calls: readonly LoggedCall[]): Generator<string> {
  const ids = Map.groupBy(rows, ({ workflow, key }) => `${workflow} ${key}`);
  for (const { method, args, answer } of calls) {
    if (method !== "enqueue" || answer === undefined) continue;
    const jobs = args[0] as { workflow: string; key: string }[];
    for (const [index, { workflow, key }] of jobs.entries()) {
      const there = (ids.get(`${workflow} ${key}`) ?? []).map(({ id }) => id);
      const acknowledgedId = (answer as { id: number }[])[index]?.id;
      if (there.length !== 1 || there[0] !== acknowledgedId) {
        yield `job-of-key: ${workflow} ${key} was acknowledged as job ${acknowledgedId}, but is job ${there}`;
      }
    }
  }
}

/** A job's result is that of the settle that was recorded, or of one whose answer was lost. */
function* violatedResults(rows: readonly Row[], calls: readonly LoggedCall[]): Generator<string> {
  const reported = new Map<string, { isSure: boolean; results: Set<string> }>();
  for (const { method, args, answer } of calls) {
    if (method !== "settle") continue;
    for (const [index, item] of (args[1] as Settlement[]).entries()) {
      if (item.outcome !== "succeeded") continue;
      const name = (answer as SettlementAnswer[] | undefined)?.[index]?.answer;
      const isSure = name === "accepted" || name === "salvaged";
      if (name !== undefined && !isSure) continue;
      const claim = `${item.id}#${item.fence}`;
      const known = reported.get(claim);
      if (known?.isSure) continue;
      const results = isSure ? new Set<string>() : (known?.results ?? new Set<string>());
      reported.set(claim, { isSure, results: results.add(JSON.stringify(item.result)) });
    }
  }
  for (const { id, state, settledFence, result, runId } of rows) {
    if (state !== "succeeded" || result === null) continue;
    const results = reported.get(`${id}#${settledFence}`)?.results;
    // A step whose result was kept from an earlier run was never claimed in this one.
    if (results === undefined && runId !== null && settledFence === 0) continue;
    if (!results?.has(result)) {
      yield `stored-result: job ${id} has ${result}, but fence ${settledFence} reported ${[...(results ?? [])]}`;
    }
  }
}

const EXPECTED = [
  ...["QUEUE_UNAVAILABLE", "RUN_NOT_FINISHED", "NOTHING_TO_RETRY"],
  ...["APPROVAL_DECIDED", "APPROVAL_OVER"],
];

/** Clients may only get timeouts, and the refusals that they provoke. */
function* unexpectedErrors(calls: readonly LoggedCall[]): Generator<string> {
  for (const { method, error, caller } of calls) {
    if (error && !EXPECTED.includes(error.code)) {
      yield `unexpected-error: ${caller} got ${error.code} from ${method}: ${error.message}`;
    }
  }
}
