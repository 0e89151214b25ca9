import type { Mutation } from "./mutation.ts";

const CLAIMABLE =
  "\n           and (state = 'pending' and target_host = v_node or state = 'waiting' and id = any(v_open))";
const settle = (replace: string, by: string) => ({ name: "settle_items", replace, by });
const exchange = (replace: string, by: string) => ({ name: "exchange", replace, by });
const checkpoint = (replace: string, by: string) => ({ name: "save_checkpoint", replace, by });
const requeue = (replace: string, by: string) => ({ name: "requeue_jobs", replace, by });
const advance = (replace: string, by: string) => ({ name: "advance_runs", replace, by });

const FENCE = "when job.fence <> item.fence then 'stale'";
const NODE = "when job.ran_on is distinct from v_node then 'unknown'";
const OWN = settle("loom_item_ids(v_items), v_node);", "loom_item_ids(v_items));");
// What is plain is settled by one statement, which has the same guards.
const PLAIN_FENCE = exchange("and job.fence = item.fence and job.state", "and job.state");
const PLAIN_RUNS = exchange(
  "job.state = 'running' and job.ran_on = v_node\n             and (p_has",
  "job.ran_on = v_node\n             and (p_has",
);
const PLAIN_NODE = exchange(
  "job.state = 'running' and job.ran_on = v_node\n             and (p_has",
  "job.state = 'running'\n             and (p_has",
);
const SETTLED = "when job.settled_fence = item.fence and item.fence > 0 then 'duplicate'";
const looksAgain = requeue("and (claimed_at + timeout_ms", "and (true or claimed_at + timeout_ms");

/** Every guard of docs/job-lifecycle.md, taken out one at a time. */
export const MUTATIONS: readonly Mutation[] = [
  {
    title: "settle does not check the fence",
    edits: [settle(FENCE, ""), PLAIN_FENCE],
    caughtBy: ["settled-by-owner"],
  },
  {
    title: "settle does not check whether the claim was settled before",
    edits: [settle(SETTLED, ""), PLAIN_RUNS],
    caughtBy: ["settled-once", "settled-once-per-claim"],
  },
  {
    title: "settle does not check the node",
    edits: [settle(NODE, "when job.ran_on is null then 'unknown'"), OWN, PLAIN_NODE],
    caughtBy: ["settled-by-owner"],
  },
  {
    title: "settle looks at the state only",
    edits: [settle(NODE, "when false then ''"), settle(FENCE, ""), settle(SETTLED, ""), OWN],
    caughtBy: ["settled-by-owner", "settled-once"],
  },
  {
    title: "settle does not lock the job",
    edits: [{ name: "lock_jobs", replace: "for no key update);", by: ");" }],
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
    edits: [exchange("fence = job.fence + 1, ", "")],
    caughtBy: ["fence-grows"],
  },
  {
    title: "claim forgets its number",
    edits: [exchange("  if p_seq > v_seq then", "  if true then")],
    caughtBy: ["repeated-claim-agrees"],
  },
  {
    title: "claim neither locks the jobs nor checks them again",
    edits: [
      exchange("             for update skip locked) as due", ") as due"),
      exchange("           for no key update skip locked", ""),
      exchange(CLAIMABLE, ""),
    ],
    caughtBy: ["final-is-final"],
  },
  {
    title: "claim does not check the epoch",
    edits: [
      exchange(
        "when v_session.epoch = p_epoch and not v_session.dead then 'live'",
        "when not v_session.dead then 'live'",
      ),
    ],
    caughtBy: ["claimed-in-epoch"],
  },
  {
    title: "claim does not check whether the session is dead",
    edits: [
      exchange(
        "when v_session.epoch = p_epoch and not v_session.dead then 'live'",
        "when v_session.epoch = p_epoch then 'live'",
      ),
    ],
    caughtBy: ["claimed-alive"],
  },
  {
    title: "claim takes what is for another node",
    edits: [
      exchange(
        "where host = v_node and run_at <= v_now\n             and",
        "where run_at <= v_now and",
      ),
      exchange(CLAIMABLE, ""),
    ],
    caughtBy: ["claimed-by-target"],
  },
  {
    title: "a checkpoint is kept without a look at the fence",
    edits: [checkpoint("v_job.fence <> p_fence or ", "")],
    caughtBy: ["checkpoint-is-the-owners"],
  },
  {
    title: "a checkpoint is kept of an attempt that is over",
    edits: [checkpoint(" or v_job.state <> 'running'", "")],
    caughtBy: ["checkpoint-is-the-owners"],
  },
  {
    title: "a checkpoint is kept for another node",
    edits: [checkpoint(" and ran_on = v_node", "")],
    caughtBy: ["checkpoint-is-the-owners"],
  },
  {
    title: "a checkpoint is kept without the job's lock",
    edits: [checkpoint(" for no key update;", ";")],
    caughtBy: ["checkpoint-is-kept"],
  },
  {
    title: "a copy of an older checkpoint replaces a newer one",
    edits: [checkpoint("where (kept.fence, kept.seq) < (excluded.fence, excluded.seq)", "")],
    caughtBy: ["checkpoint-is-kept"],
  },
  {
    title: "nobody looks whether a job that is given back has a checkpoint",
    edits: [
      {
        name: "make_ready",
        replace: "exists (select from public.loom_checkpoints where job_id = job.id)",
        by: "false",
      },
    ],
    caughtBy: ["checkpoint-is-kept"],
    rows: /has a checkpoint, and its row in loom_ready says otherwise/,
  },
  {
    title: "the reaper takes jobs of live sessions",
    edits: [
      {
        name: "reap",
        replace:
          "checked.dead or found.epoch <> checked.epoch or found.deadline_at <= v_now as is_lost",
        by: "true as is_lost",
      },
      looksAgain,
    ],
    caughtBy: ["requeued-when-lost"],
  },
  {
    title: "requeue does not check again whether the node is lost",
    edits: [looksAgain],
    caughtBy: ["requeued-when-lost"],
  },
  {
    title: "requeue does not check again whether the job runs",
    edits: [requeue("where id = any(p_jobs) and state = 'running'", "where id = any(p_jobs)")],
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
        name: "admit_jobs",
        replace: "where bucket = any(v_buckets) order by bucket for update",
        by: "where bucket = any(v_buckets)",
      },
    ],
    caughtBy: ["limit-kept"],
  },
  {
    title: "running jobs of a key are not counted",
    edits: [{ name: "admit_jobs", replace: "place + running <=", by: "place <=" }],
    caughtBy: ["limit-kept"],
  },
  {
    title: "enqueue adds a second job of one key",
    edits: [
      {
        name: "enqueue_jobs",
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
        name: "start_run",
        replace: "on conflict do nothing",
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
        name: "hello",
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
        name: "hello",
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
        name: "cancel_jobs",
        replace: "where id = any(v_jobs) and finished_at is null",
        by: "where id = any(v_jobs)",
      },
    ],
    caughtBy: ["final-is-final", "result-is-kept"],
  },
  {
    title: "a second offer replaces the first",
    edits: [
      {
        name: "place_jobs",
        replace: "where job_id = any(array(select job from offer)) and host is null",
        by: "where job_id = any(array(select job from offer))",
      },
    ],
    caughtBy: ["legal-transition"],
  },
  {
    title: "runs are not locked",
    edits: [{ name: "lock_runs", replace: "for no key update;", by: ";" }],
    caughtBy: ["run-status-follows"],
  },
  {
    title: "a step is ready when one of its needs has succeeded",
    edits: [
      advance(
        "state        = case when job.waits_for > decided.needs then 'blocked'",
        "state        = case when false then 'blocked'",
      ),
    ],
    caughtBy: ["ready-with-needs"],
  },
  {
    title: "a failed step does not skip what needs it",
    edits: [advance("v_wave := public.loom_skip_dependents(v_lost);", "")],
    caughtBy: ["never-stuck"],
  },
  {
    title: "a step that runs after a failure runs without one",
    edits: [advance("then 'nothing_failed'", "then null")],
    caughtBy: ["ready-with-needs"],
  },
  {
    title: "a skip does not cascade",
    edits: [
      { name: "outcome", replace: "(p_cascades or p_skip_reason = 'need_skipped')", by: "false" },
    ],
    caughtBy: ["ready-with-needs"],
  },
  {
    title: "an optional step that fails fails the run",
    edits: [advance("and not (select is_optional", "and not (select is_optional and false")],
    caughtBy: ["run-status-follows"],
  },
  {
    title: "the failure of an optional step skips what needs it",
    edits: [{ name: "outcome", replace: "or p_state = 'failed' and p_is_optional", by: "" }],
    caughtBy: ["skipped-with-needs"],
  },
  {
    title: "a step is ready without its condition",
    edits: [advance("when decided.suspends then 'suspended'", "")],
    caughtBy: ["condition-decides"],
  },
  {
    title: "a condition is recorded of a step that is not suspended",
    edits: [
      {
        name: "record_conditions",
        replace:
          "join public.loom_suspended as taken on taken.job_id = item.id and taken.fence = item.fence\n",
        by: "left join public.loom_suspended as taken on taken.job_id = item.id\n",
      },
      {
        name: "record_conditions",
        replace: "where job.state = 'suspended' and taken.kind = 'condition'\n       and case",
        by: "where case",
      },
    ],
    caughtBy: ["final-is-final"],
  },
  {
    title: "a cancelled step stays suspended",
    edits: [
      {
        name: "cancel_jobs",
        replace: "perform public.loom_withdraw_waits(v_cancelled);",
        by: "",
      },
    ],
    caughtBy: [],
    rows: /^job .* is gone, and its row in loom_suspended says otherwise/,
  },
  {
    title: "a step that waits is given to a node",
    edits: [
      {
        name: "record_conditions",
        replace: "case when item.is_wait then 'suspended' when job.host_pinned",
        by: "case when job.host_pinned",
      },
    ],
    caughtBy: ["waits-without-node"],
  },
  {
    title: "a sleep ends before its time",
    edits: [
      {
        name: "due_waits",
        replace: "where suspended.kind = wait.kind and suspended.due_at <= p_at",
        by: "where suspended.kind = wait.kind",
      },
      {
        name: "end_due",
        replace: "and due_at <= v_now and kind <> 'condition'",
        by: "and kind <> 'condition'",
      },
    ],
    caughtBy: ["sleeps-long-enough"],
  },
  {
    title: "a wait ends that is being cancelled",
    edits: [
      {
        name: "end_waits",
        replace: "perform public.loom_lock_jobs(v_due);\n    begin",
        by: "begin",
      },
      {
        name: "finish_waits",
        replace: "where job.id = any(array[item.id]) and job.state = 'suspended'",
        by: "where job.id = any(array[item.id])",
      },
    ],
    caughtBy: ["final-is-final"],
  },
  {
    title: "anybody decides what named people may",
    edits: [
      {
        name: "decide_approval",
        replace: "if jsonb_array_length(v_who) > 0 and",
        by: "if false and",
      },
    ],
    caughtBy: ["decided-as-shown"],
  },
  {
    title: "a decision is about anything",
    edits: [
      {
        name: "decide_approval",
        replace: "if v_approval.digest <> p_digest then",
        by: "if false then",
      },
    ],
    caughtBy: ["decided-as-shown"],
  },
  {
    title: "a cancel leaves what was asked",
    edits: [
      {
        name: "withdraw_waits",
        replace:
          "  update public.loom_approvals set state = 'cancelled', decided_at = clock_timestamp()\n   where job_id = any(p_jobs) and state = 'pending';\n",
        by: "",
      },
    ],
    caughtBy: [],
    rows: /^the approval of job .* is pending, and the job cancelled/,
  },
  {
    title: "a step does not look for a signal that is kept",
    edits: [
      {
        name: "end_due",
        replace: "v_payload := public.loom_take_signal(v_wait.event, v_wait.key, v_wait.ends_at);",
        by: "v_payload := null;",
      },
    ],
    caughtBy: [],
    rows: /^signal .* is kept, and job .* waits for it/,
  },
  {
    title: "an approval is decided twice",
    edits: [
      {
        name: "decide_approval",
        replace: "if v_approval.state in ('approved', 'rejected') then",
        by: "if false then",
      },
      {
        name: "decide_approval",
        replace: "if v_approval.state <> 'pending' or v_approval.expires_at",
        by: "if v_approval.expires_at",
      },
      {
        name: "finish_waits",
        replace: "where job.id = any(array[item.id]) and job.state = 'suspended'",
        by: "where job.id = any(array[item.id])",
      },
    ],
    caughtBy: ["final-is-final"],
  },
  {
    title: "a step that always runs does not wait for all its needs",
    edits: [
      {
        name: "skip_dependents",
        replace:
          "spec.runs_after = 'success' and (lost.outcome = 'failed' or spec.needs = 1)\n  ),\n  skipped",
        by: "lost.outcome = 'failed'\n  ),\n  skipped",
      },
    ],
    caughtBy: ["skipped-with-needs"],
  },
  {
    title: "a run is finished while a step is open",
    edits: [
      advance("when run.open_steps > ended.steps then run.status", ""),
      advance(
        "finished_at = case when run.open_steps = ended.steps then v_now end",
        "finished_at = v_now",
      ),
    ],
    caughtBy: ["run-finishes-with-last-step"],
  },
  {
    title: "a run with a failed step succeeds",
    edits: [
      advance("where id = job.spec)) then 'failed'", "where id = job.spec)) then 'succeeded'"),
    ],
    caughtBy: ["run-status-follows"],
  },
  {
    title: "two hubs make items of one step at the same time",
    edits: [
      { name: "expand_maps", replace: "perform public.loom_lock_jobs(v_maps);", by: "" },
      {
        name: "make_items",
        replace: "where job_id = p_map for no key update;",
        by: "where job_id = p_map;",
      },
    ],
    drops: ["loom_job_item"],
    caughtBy: [],
    rows: /^step .* counts .* items, and has/,
  },
  {
    title: "items are made of a step that is cancelled",
    edits: [
      {
        name: "make_items",
        replace: "if not v_map.is_due or v_job.state <> 'mapping' then",
        by: "if false then",
      },
    ],
    caughtBy: ["items-while-mapping"],
  },
  {
    title: "a step ends with its first item",
    edits: [{ name: "follow_map", replace: "if v_done = v_map.total or", by: "if v_done > 0 or" }],
    caughtBy: ["mapped-with-items"],
  },
  {
    title: "a step succeeds however many of its items failed",
    edits: [{ name: "end_map", replace: "or v_map.failed > v_map.tolerated then", by: "then" }],
    caughtBy: ["mapped-with-items"],
  },
  {
    title: "a step has more items ready than may run",
    edits: [{ name: "make_items", replace: "> v_room as", by: "> v_room + 1 as" }],
    caughtBy: ["item-limit-kept"],
  },
  {
    title: "an item that may fail fails its run",
    edits: [
      advance("and job.item_of is null and job.state = 'failed'", "and job.state = 'failed'"),
    ],
    caughtBy: ["run-status-follows"],
  },
  {
    title: "a cancel does not reach the items",
    edits: [
      {
        name: "cancel_jobs",
        replace: "where item_of = any(v_maps) and finished_at is null);",
        by: "where false);",
      },
    ],
    caughtBy: [],
    rows: /^job .* is item .* was asked to stop/,
  },
  {
    title: "a node that is lost with a job again and again is not excluded",
    edits: [requeue("perform public.loom_exclude_nodes(v_waiting);", "")],
    caughtBy: [],
    rows: /^job .* gave it back or was lost with it too often, and is not excluded/,
  },
  {
    title: "a node that gives a job back again and again is not excluded",
    edits: [
      { name: "exclude_nodes", replace: "having count(*) >= 3", by: "having count(*) >= 300" },
    ],
    caughtBy: [],
    rows: /^job .* gave it back or was lost with it too often, and is not excluded/,
  },
  {
    title: "excluded nodes are no part of what a job needs",
    edits: [
      {
        name: "exclude_nodes",
        replace: ", written.run_id, written.excluded_nodes)",
        by: ", written.run_id)",
      },
    ],
    caughtBy: [],
    rows: /^job .* has the kind of other needs than its own/,
  },
  {
    title: "a rewind keeps slots of the time to come that got no run",
    edits: [{ name: "rewind_schedule", replace: "and slot_at > v_now and", by: "and false and" }],
    caughtBy: [],
    rows: /^slot rewound@2 is decided/,
  },
  {
    title: "a rewind forgets slots that got their run",
    edits: [
      { name: "rewind_schedule", replace: "and run_id is null and not queued;", by: "and true;" },
    ],
    caughtBy: [],
    rows: /^run .* was started by schedule rewound, and no slot says so/,
  },
  {
    title: "a revoked key leaves the session that it opened",
    edits: [{ name: "end_session", replace: "if not v_session.dead then", by: "if false then" }],
    caughtBy: ["revoked-session-ends"],
  },
  {
    title: "hello does not hold its key",
    edits: [{ name: "hello", replace: "loom_hold_key(v_node)", by: "loom_acting_key(v_node)" }],
    caughtBy: [],
    rows: /^the session of revokedduringhello lives, and its key is revoked/,
  },
];
