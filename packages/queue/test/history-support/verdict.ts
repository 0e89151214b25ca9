import {
  type CallsViolation,
  type HistoryViolation,
  type KnownJob,
  readHistory,
  verifyCalls,
  verifyHistory,
} from "@loom/queue";
import { drain } from "./drain.ts";
import type { Lab } from "./lab.ts";
import type { Provocation } from "./provocation.ts";
import * as claimProvocations from "./provocations/claim.ts";
import * as lossProvocations from "./provocations/loss.ts";
import * as runProvocations from "./provocations/run.ts";
import * as settleProvocations from "./provocations/settle.ts";
import { storm } from "./storm.ts";

const PROVOCATIONS: Readonly<Record<string, Provocation>> = {
  ...claimProvocations,
  ...lossProvocations,
  ...runProvocations,
  ...settleProvocations,
};

/** What three ways of looking at a workload found: at its events, its calls and its rows. */
export interface Verdict {
  violations: (HistoryViolation | CallsViolation)[];
  rows: string[];
  events: number;
}

/** The storm, then every provocation; and what is wrong with it. */
export async function runWorkload(lab: Lab, seed: number): Promise<Verdict> {
  await storm(lab, seed);
  for (const [name, provoke] of Object.entries(PROVOCATIONS)) {
    await lab.attempt(() => provoke(lab, name.toLowerCase()));
  }
  return judge(lab);
}

/** Lets the rest of the work be done, and looks at all that happened. */
export async function judge(lab: Lab): Promise<Verdict> {
  const { sql, queue, calls, attempt } = lab;
  await attempt(() => drain(lab));
  const jobs = await sql<KnownJob[]>`
    select id::integer, run_id as "runId", step_id as step, after, state,
           concurrency_key as "concurrencyKey", concurrency_limit as "concurrencyLimit",
           max_crash_restarts as "maxCrashRestarts"
      from public.loom_job_queue`;
  const accepted = calls.flatMap((call): (number | string)[] => {
    if (call.method === "enqueue") return call.answer?.map(({ id }) => id) ?? [];
    return call.method === "startRun" && call.answer ? [call.answer.runId] : [];
  });
  for (const id of new Set(accepted)) {
    await attempt(() => (typeof id === "number" ? queue.getJob(id) : queue.getRun(id)));
  }

  await untilAllIsReadable({ sql });
  const events = await readHistory(queue);
  return {
    violations: [
      ...verifyHistory(events, { jobs, accepted, drained: true }),
      ...verifyCalls(calls),
    ],
    rows: await queue.verify(),
    events: events.length,
  };
}

/** A transaction of another test's database holds events back as well, for as long as it is open. */
async function untilAllIsReadable({ sql }: Pick<Lab, "sql">): Promise<void> {
  for (;;) {
    const [row] = await sql<{ readable: boolean }[]>`
      select not exists (select from public.loom_events
                          where xid >= pg_snapshot_xmin(pg_current_snapshot())) as readable`;
    if (row?.readable) return;
  }
}
