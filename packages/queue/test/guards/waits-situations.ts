import type { Queue } from "@loom/queue";
import { makePlan, only } from "@loom/queue/testing";
import type { PlannedJob } from "@loom/workflow";
import { type Lab, untilOverOrBlocked } from "../history-support/lab.ts";
import { findFaultsIn, type Situation } from "./guards.ts";

type Wait = NonNullable<PlannedJob["wait"]>;

const approval = (rest: Partial<Extract<Wait, { kind: "approval" }>> = {}): Wait => ({
  ...{ kind: "approval", title: "Ship?", who: [], timeoutMs: 3_600_000, onTimeout: "fail" },
  ...{ inputSchema: null, defaultInput: null },
  ...rest,
});
const signal = (key: string, timeoutMs: number | null = null): Wait => ({
  ...{ kind: "signal", event: "paid", key, timeoutMs, parses: false },
});

/** Starts a run of one step that waits. */
async function start(queue: Queue, wait: Wait, rest: Partial<PlannedJob> = {}) {
  const { runId } = await queue.startRun(makePlan([{ step: "wait", wait, ...rest }]));
  const read = async () => only((await queue.getRun(runId)).jobs);
  return { runId, id: (await read()).id, read };
}

/** A guard that is missing may leave something to end for ever. */
const endAll = async (queue: Queue) => {
  for (let calls = 0; calls < 20; calls += 1) if (!(await queue.endWaits()).more) return;
};

const ada = { by: "token ada", names: ["ada"] };
const approve = { ...ada, decision: "approved" } as const;
const reject = { ...ada, decision: "rejected" } as const;

/** The advisory lock at which a function stops that was changed to. */
export const STOP = 4_711;

const refused = async (call: Promise<unknown>): Promise<string | undefined> =>
  call.then(
    () => undefined,
    (error: { code?: string; message: string }) => error.code ?? error.message,
  );

const SITUATIONS: Readonly<Record<string, Situation>> = {
  async approvals({ queue, sql }) {
    const named = await start(queue, approval({ who: ["ben"] }));
    const { digest } = await queue.getApproval(named.id);
    const byAda = await refused(queue.decideApproval(named.id, { ...approve, digest }));

    const asked = await start(queue, approval());
    const wrong = { ...approve, digest: "0".repeat(64) };
    const unseen = await refused(queue.decideApproval(asked.id, wrong));

    const late = await start(queue, approval());
    const shown = await queue.getApproval(late.id);
    await sql`update public.loom_approvals set expires_at = now() where job_id = ${late.id}`;
    const over = await refused(queue.decideApproval(late.id, { ...approve, digest: shown.digest }));

    const gone = await start(queue, approval());
    const before = await queue.getApproval(gone.id);
    await queue.cancelRun(gone.runId);
    const afterCancel = await refused(
      queue.decideApproval(gone.id, { ...approve, digest: before.digest }),
    );
    return [
      byAda !== "APPROVAL_NOT_YOURS" && "one who may not decided",
      unseen !== "APPROVAL_CHANGED" && "something was decided that was not shown",
      over !== "APPROVAL_OVER" && "it was decided after its time",
      afterCancel !== "APPROVAL_OVER" && "it was decided after the cancel",
    ];
  },

  async "what is shown"({ queue }) {
    const digests = new Set<string>();
    const show = async (shown: string, title = "Ship?", input: string = "a") => {
      const plan = makePlan([{ step: "wait", wait: approval({ title }), hasCondition: true }], {
        input: { input },
      });
      const { runId } = await queue.startRun(plan);
      const { id, fence } = only(await queue.takeConditions());
      await queue.recordConditions([{ id, fence, outcome: "runs", shown }]);
      digests.add(only((await queue.listApprovals({ runId })).approvals).digest);
    };
    await show("one");
    await show("two");
    await show("one", "Ship now?");
    await show("one", "Ship?", "b");
    return [digests.size !== 4 && "two that show different things have one digest"];
  },

  // Both decide before either has committed.
  async "two decisions"(lab) {
    const { queue } = lab;
    const { id } = await start(queue, approval());
    const { digest } = await queue.getApproval(id);
    await using first = await lab.begin();
    await first.queue.decideApproval(id, { ...approve, digest });
    const second = refused(queue.decideApproval(id, { ...reject, digest }));
    await untilOverOrBlocked(lab, second);
    await first.commit();
    return [
      (await second) !== "APPROVAL_DECIDED" && "it was decided twice",
      (await queue.getApproval(id)).state !== "approved" &&
        "the second decision replaced the first",
    ];
  },

  // The time runs out in a transaction that is open while a person decides.
  async "a decision against the timeout"(lab) {
    const { queue, sql } = lab;
    const { id, read } = await start(queue, approval());
    const { digest } = await queue.getApproval(id);
    await sql`update public.loom_suspended set due_at = now(), ends_at = now() where job_id = ${id}`;
    await using ending = await lab.begin();
    await ending.queue.endWaits();
    const deciding = refused(queue.decideApproval(id, { ...approve, digest }));
    await untilOverOrBlocked(lab, deciding);
    await ending.commit();
    return [
      (await deciding) !== "APPROVAL_OVER" && "it was decided when its time was over",
      (await read()).state !== "failed" && "the decision replaced the timeout",
      (await queue.getApproval(id)).state !== "timed_out" && "the approval says otherwise",
    ];
  },

  // A person decides in a transaction that is open while the time runs out.
  async "the timeout against a decision"(lab) {
    const { queue, sql } = lab;
    const { id, read } = await start(queue, approval());
    const { digest } = await queue.getApproval(id);
    await sql`update public.loom_suspended set due_at = now() where job_id = ${id}`;
    await using deciding = await lab.begin();
    await deciding.queue.decideApproval(id, { ...approve, digest });
    const ending = queue.endWaits();
    await untilOverOrBlocked(lab, ending);
    await deciding.commit();
    await ending;
    return [
      // A row that says two things cannot be read.
      (await read().catch(() => null))?.state !== "succeeded" &&
        "the timeout replaced the decision",
      (await queue.getApproval(id)).state !== "approved" && "the approval says otherwise",
    ];
  },

  async "a signal for those that wait"({ queue, sql }) {
    const waiting = [await start(queue, signal("all")), await start(queue, signal("all"))];
    await queue.sendSignal({ event: "paid", key: "all", data: 1 });
    // One in the first call and one in the next.
    await queue.endWaits({ limit: 1 });
    await endAll(queue);
    const ended = await Promise.all(waiting.map(({ read }) => read()));
    const later = await start(queue, signal("all"));
    await endAll(queue);
    const kept = await sql`select from public.loom_signals where key = 'all'`;
    return [
      ended.some(({ state }) => state !== "succeeded") && "a step that waited got nothing",
      (await later.read()).state !== "suspended" && "a signal that was given was kept as well",
      kept.length > 0 && "a signal that was given is there",
    ];
  },

  async "a signal that is kept"({ queue, sql }) {
    await queue.sendSignal({ event: "paid", key: "kept", data: "first" });
    await queue.sendSignal({ event: "paid", key: "kept", data: "second" });
    await queue.sendSignal({ event: "paid", key: "other" });
    await endAll(queue);
    const states: unknown[] = [];
    for (let count = 0; count < 3; count += 1) {
      const { read } = await start(queue, signal("kept"));
      await endAll(queue);
      const { state, ...job } = await read();
      states.push("result" in job ? job.result : state);
    }
    await queue.sendSignal({ event: "paid", key: "old" });
    await endAll(queue);
    await sql`update public.loom_signals set sent_at = now() - interval '8 days' where key = 'old'`;
    const late = await start(queue, signal("old"));
    await endAll(queue);
    const [first, second, third] = states;
    const old = (await late.read()).state;
    await queue.prune({ keepDays: 30 });
    return [
      first !== "first" && "the oldest signal did not come first",
      second !== "second" && "a kept signal was lost",
      third !== undefined && third !== null && third !== "suspended" && "a signal was given twice",
      old !== "suspended" && "a signal was given that is too old",
      (await sql`select from public.loom_signals where key = 'old'`).length > 0 &&
        "a signal is kept for too long",
    ];
  },

  async "a signal against the timeout"({ queue, sql }) {
    // Sent in time, and looked at when the time is over.
    const inTime = await start(queue, signal("in time", 3_600_000));
    await queue.sendSignal({ event: "paid", key: "in time" });
    await sql`update public.loom_suspended set ends_at = clock_timestamp(), due_at = clock_timestamp() where job_id = ${inTime.id}`;
    await sql`update public.loom_signals set is_new = false where key = 'in time'`;
    await endAll(queue);
    // Sent when the time is over, and looked at before the timeout is.
    const late = await start(queue, signal("late", 3_600_000));
    await endAll(queue);
    await sql`update public.loom_suspended set ends_at = clock_timestamp(), due_at = clock_timestamp() where job_id = ${late.id}`;
    await queue.sendSignal({ event: "paid", key: "late" });
    await endAll(queue);
    // The same, kept and looked at by the timeout.
    const kept = await start(queue, signal("kept late", 3_600_000));
    await endAll(queue);
    await sql`update public.loom_suspended set ends_at = clock_timestamp(), due_at = clock_timestamp() where job_id = ${kept.id}`;
    await queue.sendSignal({ event: "paid", key: "kept late" });
    await sql`update public.loom_signals set is_new = false where key = 'kept late'`;
    await endAll(queue);
    return [
      (await inTime.read()).state !== "succeeded" && "a signal that came in time was too late",
      (await late.read()).state !== "failed" && "a signal that came too late was in time",
      (await kept.read()).state !== "failed" && "a kept signal that came too late was in time",
    ];
  },

  // The time runs out in a transaction that is open while the signal is sent and looked at.
  async "the timeout against a signal"(lab) {
    const { queue, sql } = lab;
    const { id, read } = await start(queue, signal("too late", 3_600_000));
    await endAll(queue);
    await sql`update public.loom_suspended set ends_at = now(), due_at = now() where job_id = ${id}`;
    await using ending = await lab.begin();
    await ending.queue.endWaits();
    await queue.sendSignal({ event: "paid", key: "too late", data: 7 });
    const looking = queue.endWaits();
    await untilOverOrBlocked(lab, looking);
    await ending.commit();
    await looking;
    const next = await start(queue, signal("too late"));
    await endAll(queue);
    return [
      (await read()).state !== "failed" && "the signal replaced the timeout",
      (await next.read()).state !== "succeeded" && "a signal that came too late was lost",
    ];
  },

  // The signal is sent in a transaction that is open while the time runs out.
  async "a signal that is being sent"(lab) {
    const { queue, sql } = lab;
    const { id, read } = await start(queue, signal("on its way", 3_600_000));
    await endAll(queue);
    await using sending = await lab.begin();
    await sending.queue.sendSignal({ event: "paid", key: "on its way", data: 7 });
    await sql`update public.loom_suspended set ends_at = clock_timestamp(), due_at = now() where job_id = ${id}`;
    await endAll(queue);
    await sending.commit();
    await endAll(queue);
    const next = await start(queue, signal("on its way"));
    await endAll(queue);
    return [
      (await read()).state !== "failed" && "the signal replaced the timeout",
      (await next.read()).state !== "succeeded" && "a signal that came too late was lost",
    ];
  },

  // One call finds no signal, and is stopped there, where nothing else holds two calls apart. Another one looks at the
  // signal before the step waits for it. Then the first goes on, and looks at the step.
  async "two calls that end waits"(lab) {
    const { queue } = lab;
    await using stop = await lab.begin();
    await stop.sql`select pg_advisory_xact_lock(${STOP}::bigint)`;
    const first = queue.endWaits();
    await untilOverOrBlocked(lab, first);
    await queue.sendSignal({ event: "paid", key: "crossed" });
    await using second = await lab.begin();
    await second.queue.endWaits();
    const { read } = await start(queue, signal("crossed"));
    await stop.commit();
    await first;
    await second.commit();
    await endAll(queue);
    return [(await read()).state !== "succeeded" && "a step and its signal missed each other"];
  },

  // The run is cancelled in a transaction that is open while its signal is given to it.
  async "a signal against a cancel"(lab) {
    const { queue, sql } = lab;
    const { runId, id } = await start(queue, signal("cancelled"));
    await endAll(queue);
    await queue.sendSignal({ event: "paid", key: "cancelled" });
    await using cancelling = await lab.begin();
    await cancelling.queue.cancelRun(runId);
    const ending = queue.endWaits();
    await untilOverOrBlocked(lab, ending);
    await cancelling.commit();
    await ending;
    const [kept] = await sql`select from public.loom_signals where key = 'cancelled'`;
    const [job] = await sql<{ state: string }[]>`
      select state::text from public.loom_jobs where id = ${id}`;
    return [
      job?.state !== "cancelled" && "the signal replaced the cancel",
      kept === undefined && "a signal that nobody got is gone",
    ];
  },

  async "what is waited for"({ queue, sql }) {
    const future = await start(queue, { kind: "sleep", forMs: 3_600_000, until: null });
    await endAll(queue);
    const called = await start(queue, signal("checked"), { hasCondition: true });
    const { id, fence } = only(await queue.takeConditions());
    await endAll(queue);
    await sql`update public.loom_suspended set due_at = now() where job_id = ${called.id}`;
    await endAll(queue);
    const { state } = await called.read();
    await queue.recordConditions([{ id, fence, outcome: "skips" }]);
    return [
      (await future.read()).state !== "suspended" && "a sleep ended before its time",
      state !== "suspended" && "a step ended that a hub was asked about",
    ];
  },

  async "too many signals"({ queue, sql }) {
    await sql`
      insert into public.loom_signals (event, key, payload, is_new)
      select 'flood', n::text, '1', false from generate_series(1, 1000) as n`;
    const full = await refused(queue.sendSignal({ event: "flood", key: "more" }));
    await start(queue, { ...signal("awaited"), event: "flood" } as Wait);
    const awaited = await refused(queue.sendSignal({ event: "flood", key: "awaited" }));
    await endAll(queue);
    return [
      full !== "SIGNALS_FULL" && "more signals are kept than may be",
      awaited !== undefined && "a signal is refused that a step waits for",
    ];
  },
};

/** What goes wrong with approvals and signals. Nothing, while all guards are there. */
export const findFaults = (lab: Lab) => findFaultsIn(SITUATIONS, lab);
