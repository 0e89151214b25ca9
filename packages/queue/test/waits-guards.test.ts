import { describeGuards, edit, type Guard } from "./guards/guards.ts";
import { findFaults, STOP } from "./guards/waits-situations.ts";

const DECIDE = "decide_approval";
const STILL_WAITS = edit(
  "finish_waits",
  "where job.id = any(array[item.id]) and job.state = 'suspended'",
  "where job.id = any(array[item.id])",
);

/** The guards of approvals.sql, signals.sql and waits.sql, taken out one at a time. */
const GUARDS: readonly Guard[] = [
  {
    title: "`who` is not checked",
    edits: [edit(DECIDE, "if jsonb_array_length(v_who) > 0 and", "if false and")],
    fault: /one who may not decided/,
  },
  {
    title: "the digest is not checked",
    edits: [edit(DECIDE, "if v_approval.digest <> p_digest then", "if false then")],
    fault: /that was not shown/,
  },
  ...[
    { what: "what the function returned", part: ", begun.shown), 'UTF8'", by: "), 'UTF8'" },
    { what: "the title", part: "begun.step_id, begun.wait, ", by: "begun.step_id, " },
    { what: "the input", part: "run.input, begun.shown", by: "begun.shown" },
  ].map(({ what, part, by }) => ({
    title: `the digest leaves out ${what}`,
    edits: [edit("begin_waits", part, by)],
    fault: /different things have one digest/,
  })),
  {
    title: "the time is not checked at a decision",
    edits: [
      edit(
        DECIDE,
        "v_approval.state <> 'pending' or v_approval.expires_at <= v_now",
        "v_approval.state <> 'pending'",
      ),
    ],
    fault: /decided after its time/,
  },
  {
    title: "a decision does not look whether anything is asked",
    edits: [
      edit(DECIDE, "v_approval.state <> 'pending' or v_approval.expires_at <= v_now", "false"),
    ],
    fault: /decided after the cancel/,
  },
  {
    title: "a decision does not look for an earlier one",
    edits: [
      edit(DECIDE, "if v_approval.state in ('approved', 'rejected') then", "if false then"),
      edit(
        DECIDE,
        "v_approval.state <> 'pending' or v_approval.expires_at",
        "v_approval.expires_at",
      ),
    ],
    fault: /it was decided twice/,
  },
  {
    title: "a decision takes no lock",
    edits: [
      edit(DECIDE, "perform public.loom_lock_jobs(array[p_job]);"),
      edit(DECIDE, "where job_id = p_job for no key update;", "where job_id = p_job;"),
      STILL_WAITS,
    ],
    fault: /it was decided twice|replaced the first/,
  },
  {
    title: "a decision reads the approval before it has the lock",
    edits: [
      edit(DECIDE, "perform public.loom_lock_jobs(array[p_job]);"),
      edit(
        DECIDE,
        "where job_id = p_job for no key update;",
        "where job_id = p_job; perform public.loom_lock_jobs(array[p_job]);",
      ),
    ],
    fault: /decided when its time was over|decided twice/,
  },
  {
    title: "what is due is ended without its lock",
    edits: [
      edit("end_waits", "perform public.loom_lock_jobs(v_due);\n    begin", "begin"),
      STILL_WAITS,
    ],
    fault: /the timeout replaced the decision|the approval says otherwise/,
  },
  {
    title: "a new signal that nobody got goes",
    edits: [
      edit(
        "deliver_signal",
        "update public.loom_signals set is_new = false where id = p_signal;",
        "delete from public.loom_signals where id = p_signal;",
      ),
    ],
    fault: /came too late was lost/,
  },
  {
    title: "what is due is not read again under the locks",
    edits: [
      edit(
        "end_due",
        "where job_id = any(p_jobs) and due_at <= v_now and",
        "where job_id = any(p_jobs) and",
      ),
      edit(
        "due_waits",
        "where suspended.kind = wait.kind and suspended.due_at <= p_at",
        "where suspended.kind = wait.kind",
      ),
    ],
    fault: /a sleep ended before its time/,
  },
  {
    title: "a wait ends that a hub is asked about",
    edits: [
      edit(
        "due_waits",
        "array['sleep', 'signal', 'approval']",
        "array['condition', 'sleep', 'signal', 'approval']",
      ),
      edit("end_due", "and due_at <= v_now and kind <> 'condition'", "and due_at <= v_now"),
    ],
    fault: /ended that a hub was asked about/,
  },
  {
    title: "a kept signal stays when it is given",
    edits: [
      edit(
        "take_signal",
        "delete from public.loom_signals\n",
        "update public.loom_signals set is_new = false\n",
      ),
    ],
    fault: /a signal was given twice/,
  },
  {
    title: "the newest signal comes first",
    edits: [edit("take_signal", "order by id limit 1", "order by id desc limit 1")],
    fault: /oldest signal did not come first/,
  },
  {
    title: "a kept signal has no end",
    edits: [
      edit(
        "take_signal",
        "                  and sent_at > clock_timestamp() - public.loom_limit('signal_keep_ms') * interval '1 millisecond'\n",
      ),
    ],
    fault: /given that is too old/,
  },
  {
    title: "old signals are not removed",
    edits: [edit("drop_signals", "where sent_at < now()", "where false and sent_at < now()")],
    fault: /kept for too long/,
  },
  {
    title: "a new signal is kept although steps got it",
    edits: [
      edit(
        "deliver_signal",
        "delete from public.loom_signals where id = p_signal;",
        "update public.loom_signals set is_new = false where id = p_signal;",
      ),
    ],
    fault: /given was kept as well/,
  },
  {
    title: "nobody notes that a signal was given to a part of those that wait",
    edits: [
      edit("deliver_signal", "set is_used = is_used or v_given > 0", "set is_used = false"),
      edit("deliver_signal", "elsif v_given > 0 or v_is_used then", "elsif v_is_used then"),
    ],
    fault: /kept as well|is there/,
  },
  {
    title: "a new signal goes to the first that waits only",
    edits: [
      edit(
        "deliver_signal",
        "if not public.loom_waiting_for(p_signal, cardinality(p_jobs) + 1) <@ p_jobs then",
        "if false then",
      ),
    ],
    fault: /got nothing/,
  },
  {
    title: "the timeout wins against a signal that came in time",
    edits: [
      edit(
        "end_due",
        "if v_payload is not null then",
        "if v_payload is not null and v_wait.ends_at > v_now then",
      ),
    ],
    fault: /came in time was too late/,
  },
  {
    title: "a new signal does not look when the wait ended",
    edits: [edit("waiting_for", " and coalesce(ends_at >= signal.sent_at, true)")],
    fault: /a signal that came too late was in time/,
  },
  {
    title: "a kept signal does not look when the wait ended",
    edits: [edit("take_signal", " and sent_at <= coalesce(p_before, 'infinity')")],
    fault: /kept signal that came too late was in time/,
  },
  {
    title: "two calls end waits at once",
    edits: [
      edit("end_waits", "perform from public.loom_leaders where duty = 'waits' for update;"),
      edit(
        "end_waits",
        "v_due := array(select public.loom_due_waits(v_now, p_limit));",
        `perform pg_advisory_xact_lock(${STOP}); v_due := array(select public.loom_due_waits(clock_timestamp(), p_limit));`,
      ),
    ],
    fault: /missed each other/,
  },
  {
    title: "a signal does not look whether the step still waits",
    edits: [
      edit(
        "deliver_signal",
        "where id = waiting.id and state = 'suspended' offset 0",
        "where id = waiting.id offset 0",
      ),
      edit("end_waits", "perform public.loom_lock_jobs(v_due);\n    foreach", "foreach"),
      STILL_WAITS,
    ],
    fault: /replaced the cancel|nobody got is gone/,
  },
  {
    title: "signals are kept without a limit",
    edits: [edit("send_signal", "if v_waiting = 0 and (", "if false and (")],
    fault: /more signals are kept/,
  },
  {
    title: "a signal that a step waits for counts as one to keep",
    edits: [edit("send_signal", "if v_waiting = 0 and (", "if (")],
    fault: /refused that a step waits for/,
  },
];

describeGuards("approvals and signals", GUARDS, findFaults);
