import type { Mutation } from "./mutation.ts";

const settle = (replace: string, by: string) => ({ file: "settle_jobs", replace, by });
const claim = (replace: string, by: string) => ({ file: "claim_jobs", replace, by });
const requeue = (replace: string, by: string) => ({ file: "requeue_jobs", replace, by });
const advance = (replace: string, by: string) => ({ file: "advance_runs", replace, by });

const FENCE = "when job.fence <> item.fence then 'stale'";
const NODE = "when job.ran_on is distinct from v_node then 'unknown'";
const SETTLED = "when job.settled_fence = item.fence then 'duplicate'";
const looksAgain = requeue("and (deadline_at <= v_now", "and (true or deadline_at <= v_now");

/** Every guard of docs/job-lifecycle.md, taken out one at a time. */
export const MUTATIONS: readonly Mutation[] = [
  {
    title: "settle does not look at the fence",
    edits: [settle(FENCE, "")],
    caughtBy: ["settled-by-owner"],
  },
  {
    title: "settle does not look whether the claim was settled before",
    edits: [settle(SETTLED, "")],
    caughtBy: ["settled-once", "settled-once-per-claim"],
  },
  {
    title: "settle does not look at the node",
    edits: [settle(NODE, "when job.ran_on is null then 'unknown'")],
    caughtBy: ["settled-by-owner"],
  },
  {
    title: "settle looks at the state only",
    edits: [settle(NODE, "when false then ''"), settle(FENCE, ""), settle(SETTLED, "")],
    caughtBy: ["settled-by-owner", "settled-once"],
  },
  {
    title: "settle does not lock the job",
    edits: [settle("perform public.loom_lock_jobs(", "perform public.loom_lock_runs(")],
    // A success is put back by a failure: its result would not be allowed to stay.
    drops: ["loom_job_result"],
    caughtBy: ["final-is-final", "settled-once"],
  },
  {
    title: "a job that has ended is salvaged",
    edits: [
      settle("when job.state in ('waiting', 'pending') and item.outcome", "when item.outcome"),
    ],
    caughtBy: ["final-is-final"],
  },
  {
    title: "a result is salvaged after a newer claim",
    edits: [settle(FENCE, "when job.fence <> item.fence and job.state = 'running' then 'stale'")],
    caughtBy: ["settled-by-owner"],
  },
  {
    title: "claim does not raise the fence",
    edits: [claim("fence            = fence + 1,", "")],
    caughtBy: ["fence-grows"],
  },
  {
    title: "claim forgets its number",
    edits: [claim("if p_seq > v_session.last_claim_seq then", "if true then")],
    caughtBy: ["repeated-claim-agrees"],
  },
  {
    title: "claim does not lock the jobs, nor look at them again",
    edits: [claim("for no key update skip locked", "")],
    // The cancelled job keeps its finish time while it runs.
    drops: ["loom_job_finish"],
    caughtBy: ["final-is-final"],
  },
  {
    title: "claim does not look at the epoch",
    edits: [
      claim("if v_session.epoch is distinct from p_epoch or v_session.dead", "if v_session.dead"),
    ],
    caughtBy: ["claimed-in-epoch"],
  },
  {
    title: "claim does not look whether the session is dead",
    edits: [claim("is distinct from p_epoch or v_session.dead", "is distinct from p_epoch")],
    caughtBy: ["claimed-alive"],
  },
  {
    title: "claim takes what is for another node",
    edits: [
      claim(
        "and target_host = v_node and run_at <= v_now\n           and",
        "and run_at <= v_now and",
      ),
    ],
    caughtBy: ["claimed-by-target"],
  },
  {
    title: "the reaper takes jobs of live sessions",
    edits: [
      {
        file: "reap",
        replace: "where session.dead or job.epoch <> session.epoch",
        by: "where true",
      },
      looksAgain,
    ],
    caughtBy: ["requeued-when-lost"],
  },
  {
    title: "requeue does not look again whether the node is lost",
    edits: [looksAgain],
    caughtBy: ["requeued-when-lost"],
  },
  {
    title: "requeue does not look again whether the job runs",
    edits: [requeue("where id = any(p_jobs) and state = 'running'", "where id = any(p_jobs)")],
    // The job that succeeded meanwhile would not be allowed to wait with its result.
    drops: ["loom_job_result"],
    caughtBy: ["final-is-final"],
  },
  {
    title: "requeue does not count losses",
    edits: [requeue("case when lost.is_over then 0 else 1 end", "0")],
    caughtBy: ["losses-bounded"],
  },
  {
    title: "the bucket of a concurrency key is not locked",
    edits: [
      {
        file: "admit_jobs",
        replace: "where bucket = any(v_buckets) order by bucket for update",
        by: "where bucket = any(v_buckets)",
      },
    ],
    caughtBy: ["limit-kept"],
  },
  {
    title: "running jobs of a key are not counted",
    edits: [{ file: "admit_jobs", replace: "place + running <=", by: "place <=" }],
    caughtBy: ["limit-kept"],
  },
  {
    title: "enqueue adds a second job of one key",
    edits: [
      {
        file: "enqueue_jobs",
        replace: "on conflict (workflow_id, key) where key is not null do nothing",
        by: "",
      },
    ],
    drops: ["loom_job_key"],
    caughtBy: ["key-names-one"],
  },
  {
    title: "start_run starts a second run of one key",
    edits: [
      {
        file: "start_run",
        replace: "on conflict (workflow_id, idempotency_key) do nothing",
        by: "",
      },
    ],
    drops: ["loom_runs_key"],
    caughtBy: ["key-names-one"],
  },
  {
    title: "a new agent does not raise the epoch",
    edits: [
      {
        file: "hello",
        replace:
          "case when session.incarnation = p_incarnation and not session.dead then 0 else 1 end",
        by: "0",
      },
    ],
    caughtBy: ["epoch-grows", "epoch-names-one-agent"],
  },
  {
    title: "a dead session comes back under its epoch",
    edits: [
      {
        file: "hello",
        replace: "+ case when session.incarnation = p_incarnation and not session.dead then 0",
        by: "+ case when session.incarnation = p_incarnation then 0",
      },
    ],
    caughtBy: ["epoch-grows"],
  },
  {
    title: "cancel overwrites a final state",
    edits: [
      {
        file: "cancel_jobs",
        replace: "where id = any(p_jobs) and finished_at is null",
        by: "where id = any(p_jobs)",
      },
    ],
    // A job that succeeded would not be allowed to be cancelled with its result.
    drops: ["loom_job_result"],
    caughtBy: ["final-is-final", "result-is-kept"],
  },
  {
    title: "a second offer replaces the first",
    edits: [
      {
        file: "place_jobs",
        replace: "where id = any(array(select job from offer)) and state = 'waiting'",
        by: "where id = any(array(select job from offer)) and state in ('waiting', 'pending')",
      },
    ],
    caughtBy: ["legal-transition"],
  },
  {
    title: "runs are not locked",
    edits: [{ file: "lock_runs", replace: "for no key update;", by: ";" }],
    caughtBy: ["run-finishes-with-last-step"],
  },
  {
    title: "a step is ready when one of its needs has succeeded",
    edits: [advance("when job.waits_for > freed.needs then 'blocked'", "when false then ''")],
    // It would not be allowed to wait for nothing but a node with needs left.
    drops: ["loom_job_blocked"],
    caughtBy: ["ready-with-needs"],
  },
  {
    title: "a failed step does not skip what needs it",
    edits: [advance("job.state in ('failed', 'cancelled', 'skipped')", "job.state = 'skipped'")],
    caughtBy: ["never-stuck"],
  },
  {
    title: "a run is finished while a step is open",
    edits: [
      advance(
        "and not exists (select from public.loom_job_queue where run_id = run.id and finished_at is null)",
        "",
      ),
    ],
    caughtBy: ["run-finishes-with-last-step"],
  },
  {
    title: "a run with a failed step succeeds",
    edits: [
      advance("and state = 'failed') then 'failed'", "and state = 'failed') then 'succeeded'"),
    ],
    caughtBy: ["run-status-follows"],
  },
];
