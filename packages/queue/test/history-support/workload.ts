import { untilReadable } from "@loom/queue/testing";
import {
  type CallsViolation,
  type HistoryViolation,
  type KnownJob,
  readHistory,
  verifyCalls,
  verifyHistory,
} from "@loom/queue/verify";
import { drain } from "./drain.ts";
import type { Lab } from "./lab.ts";
import type { Provocation } from "./provocation.ts";
import * as checkpointProvocations from "./provocations/checkpoint.ts";
import * as claimProvocations from "./provocations/claim.ts";
import * as lossProvocations from "./provocations/loss.ts";
import * as mapProvocations from "./provocations/map.ts";
import * as runProvocations from "./provocations/run.ts";
import * as scheduleProvocations from "./provocations/schedule.ts";
import * as settleProvocations from "./provocations/settle.ts";
import * as waitProvocations from "./provocations/wait.ts";
import { storm } from "./storm.ts";

const PROVOCATIONS: Readonly<Record<string, Provocation>> = {
  ...checkpointProvocations,
  ...claimProvocations,
  ...lossProvocations,
  ...mapProvocations,
  ...runProvocations,
  ...scheduleProvocations,
  ...settleProvocations,
  ...waitProvocations,
};

/** What three checks of a workload found: of its events, its calls and its rows. */
export interface WorkloadReport {
  violations: (HistoryViolation | CallsViolation)[];
  rows: string[];
  events: number;
}

/** Runs the storm, then every provocation, and checks what happened. */
export async function runWorkload(lab: Lab, seed: number): Promise<WorkloadReport> {
  await storm(lab, seed);
  return provokeAll(lab);
}

/** Runs every provocation, without a storm, and checks what happened. */
export async function provokeAll(lab: Lab): Promise<WorkloadReport> {
  // After a while without one the first reap gives every session a new lease.
  await lab.queue.reap();
  for (const [name, provoke] of Object.entries(PROVOCATIONS)) {
    await lab.attempt(() => provoke(lab, name.toLowerCase()));
  }
  return checkWorkload(lab);
}

/** Lets the rest of the work finish, and checks events, calls and rows. */
export async function checkWorkload(lab: Lab): Promise<WorkloadReport> {
  const { sql, queue, calls, attempt } = lab;
  const midway = await queue.verify();
  await attempt(() => drain(lab));
  const jobs = await sql<KnownJob[]>`
    select id::integer, run_id as "runId", step_id as step, after, state, runs_after as "runsAfter",
           is_optional as "isOptional", cascades, has_condition as "hasCondition",
           wait ->> 'kind' as "waitsFor", (wait ->> 'for_ms')::integer as "sleepMs",
           concurrency_key as "concurrencyKey", concurrency_limit as "concurrencyLimit",
           max_crash_restarts as "maxCrashRestarts",
           (select json_build_object('total', map.total, 'tolerated', map.tolerated,
                                     'concurrency', (job.map ->> 'concurrency')::integer)
              from public.loom_maps as map where map.job_id = job.id) as items
      from public.loom_job_queue as job`;
  const accepted = calls.flatMap((call): (number | string)[] => {
    if (call.method === "enqueue") return call.answer?.map(({ id }) => id) ?? [];
    return call.method === "startRun" && call.answer ? [call.answer.runId] : [];
  });
  for (const id of new Set(accepted)) {
    await attempt(() => (typeof id === "number" ? queue.getJob(id) : queue.getRun(id)));
  }

  await untilReadable({ sql });
  const events = await readHistory(queue);
  return {
    violations: [
      ...verifyHistory(events, { jobs, accepted, drained: true }),
      ...verifyCalls(calls),
    ],
    rows: [...midway, ...(await queue.verify())],
    events: events.length,
  };
}
