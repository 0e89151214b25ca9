import type { Queue } from "@loom/queue";
import { claim, makeJob, makePlan, only, sayHello, untilReadable } from "@loom/queue/testing";
import type { HookRule } from "@loom/workflow/hook-rules";
import { addHook, leadRound, readDeliveries } from "../../src/testing/hooks.ts";
import { type Lab, untilOverOrBlocked } from "../history-support/lab.ts";
import { findFaultsIn, type Situation } from "./guards.ts";

/** Runs a workflow of one step to its end. */
async function finish(queue: Queue, workflow: string, outcome: "succeeded" | "failed") {
  const plan = makePlan([{ step: "only", host: workflow }], { workflow });
  const { runId } = await queue.startRun(plan);
  const { id, fence } = only(await claim(queue, await sayHello(queue, workflow)));
  const end = outcome === "failed" ? { outcome, error: "boom" } : { outcome, result: null };
  await queue.settle(workflow, [{ id, fence, ...end }]);
  return runId;
}

async function cancelOne(queue: Queue, workflow: string): Promise<void> {
  const { runId } = await queue.startRun(makePlan([{ step: "only" }], { workflow }));
  await queue.cancelRun(runId);
}

/** Lets the hub that leads decide what to send. */
async function decide({ queue, sql }: Lab): Promise<void> {
  await untilReadable({ sql });
  await leadRound(queue);
}

const messagesOf = async ({ queue }: Lab, hook: string): Promise<string[]> =>
  (await readDeliveries(queue, hook)).map(({ rule, facts }) => {
    const { run, job, node } = facts as Record<string, unknown>;
    return `${rule} ${run ?? job ?? node}`;
  });

const settingsOf = (rules: readonly HookRule[]) => ({
  ...{ rules, workflows: [], waitingMs: null, enabled: true },
});

/** Removes the hooks of the situation before, with their messages. */
async function clear({ sql }: Lab): Promise<void> {
  await sql`delete from public.loom_hooks`;
  await sql`delete from public.loom_notify`;
}

const isSame = (one: unknown, other: unknown): boolean =>
  JSON.stringify(one) === JSON.stringify(other);

const SITUATIONS: Readonly<Record<string, Situation>> = {
  async "which runs count"(lab) {
    const { queue } = lab;
    await finish(queue, "before", "failed");
    await addHook(queue, "all", { rules: ["run.failed"] });
    await addHook(queue, "one", { rules: ["run.failed"], workflows: ["a"] });
    await addHook(queue, "named", { rules: [] });
    await addHook(queue, "silent", { enabled: false });
    const { epoch } = (await leadRound(queue)).lead;
    await queue.syncNotify([{ workflow: "b", notify: { "run.failed": ["named"] } }], epoch);
    const a = await finish(queue, "a", "failed");
    const b = await finish(queue, "b", "failed");
    await finish(queue, "a", "succeeded");
    await cancelOne(queue, "a");
    await decide(lab);
    await decide(lab);
    const both = [`run.failed ${a}`, `run.failed ${b}`];
    return [
      !isSame((await messagesOf(lab, "all")).toSorted(), both.toSorted()) &&
        `the hook of all got ${(await messagesOf(lab, "all")).length} messages`,
      !isSame(await messagesOf(lab, "one"), [`run.failed ${a}`]) && "a hook got another workflow's",
      !isSame(await messagesOf(lab, "named"), [`run.failed ${b}`]) &&
        "a hook got what no workflow names it for",
      (await messagesOf(lab, "silent")).length > 0 && "a disabled hook got a message",
    ];
  },

  async "which runs recover"(lab) {
    const { queue } = lab;
    await addHook(queue, "well", { rules: ["run.recovered"] });
    await finish(queue, "never", "succeeded");
    await finish(queue, "never", "succeeded");
    await finish(queue, "once", "failed");
    await cancelOne(queue, "once");
    await finish(queue, "once", "succeeded");
    await finish(queue, "once", "succeeded");
    await finish(queue, "still", "failed");
    await finish(queue, "still", "failed");
    await decide(lab);
    const subjects = (await readDeliveries(queue, "well")).map(({ subject }) => subject);
    return [
      subjects.includes("never") && "a workflow recovered that had not failed",
      subjects.includes("still") && "a workflow recovered that fails",
      subjects.filter((subject) => subject === "once").length !== 1 &&
        "a workflow did not recover once",
    ];
  },

  async "which machines are lost"(lab) {
    const { queue, sql } = lab;
    await addHook(queue, "ops", { rules: ["node.lost"] });
    for (const node of ["gone", "draining", "revoked"]) await sayHello(queue, node);
    await queue.setNodeStatus("draining", { status: "draining" });
    // What a person ends has a detail.
    await sql`select public.loom_end_session('revoked', null, 'key revoked')`;
    await sql`
      update public.loom_node_sessions set expires_at = now() - interval '1 s'
       where node in ('gone', 'draining')`;
    for (const _ of [1, 2, 3]) {
      await sql`update public.loom_leaders set ticked_at = now() - interval '1100 ms' where duty = 'reaper'`;
      await decide(lab);
    }
    const lost = (await readDeliveries(queue, "ops")).map(({ subject }) => subject);
    return [
      !lost.includes("gone") && "the loss of a machine was left out",
      lost.includes("draining") && "a machine is lost that was draining",
      lost.includes("revoked") && "a machine is lost whose session a person ended",
    ];
  },

  async "which approvals are asked"(lab) {
    const { queue } = lab;
    await addHook(queue, "me", { rules: ["approval.asked"] });
    const ask = async () => {
      const { runId } = await queue.startRun(
        makePlan([
          {
            step: "ask",
            wait: {
              ...{ kind: "approval", title: "Go on?", who: [], timeoutMs: null, onTimeout: "fail" },
              ...{ inputSchema: null, defaultInput: null },
            },
          },
        ]),
      );
      return { runId, id: only((await queue.getRun(runId)).jobs).id };
    };
    const open = await ask();
    await queue.cancelRun((await ask()).runId);
    await queue.startRun(
      makePlan([{ step: "sleep", wait: { kind: "sleep", forMs: 1, until: null } }]),
    );
    await decide(lab);
    await decide(lab);
    return [
      !isSame(await messagesOf(lab, "me"), [`approval.asked ${open.runId}`]) &&
        `of one approval that is asked there are ${(await messagesOf(lab, "me")).length} messages`,
    ];
  },

  async "which steps wait too long"(lab) {
    const { queue, sql } = lab;
    await addHook(queue, "ops", { rules: ["step.waiting"], waitingMs: 1_800_000 });
    /** Makes steps of a workflow wait for so long. */
    const since = async (workflow: string, time: string) => {
      await sql`
        with changed as (
          update public.loom_jobs set run_at = now() - ${time}::text::interval
           where workflow_id = ${workflow} returning id, run_at)
        update public.loom_ready as ready set run_at = changed.run_at from changed where job_id = id`;
    };
    const wait = async (workflow: string) => {
      await queue.enqueue([makeJob({ workflow })]);
      await since(workflow, "31 minutes");
    };
    await wait("held");
    await queue.pauseWorkflow("held");
    await queue.enqueue([makeJob({ workflow: "young" })]);
    await wait("slow");
    await decide(lab);
    // Another one waits too long since then, and the hook's time has not passed again.
    await sql`update public.loom_hook_deliveries set created_at = now() - interval '10 minutes'`;
    await wait("slow");
    await since("slow", "35 minutes");
    await sql`update public.loom_hooks set waits_checked_at = null`;
    await decide(lab);
    const first = (await readDeliveries(queue, "ops")).map(({ subject }) => subject);
    // The time has passed again; the same steps wait, and no other.
    await sql`update public.loom_hook_deliveries set created_at = now() - interval '2 hours'`;
    await since("slow", "5 hours");
    await sql`update public.loom_hooks set waits_checked_at = null`;
    await decide(lab);
    const second = (await readDeliveries(queue, "ops")).length;
    await sql`delete from public.loom_hook_deliveries`;
    await decide(lab);
    const soon = (await readDeliveries(queue, "ops")).length;
    await queue.resumeWorkflow("held");
    await queue.cancel((await queue.listJobs({ state: "waiting" })).jobs.map(({ id }) => id));
    return [
      first.includes("held") && "a step of a paused workflow waits too long",
      first.includes("young") && "a step waits too long that has just begun",
      first.filter((subject) => subject === "slow").length !== 1 &&
        "a workflow got another message before the time had passed again",
      second !== first.length && "a workflow got a message about steps that it knew",
      soon > 0 && "waits are looked for more often than in a tenth of the time",
    ];
  },

  // A transaction that ended a run is open while a later one is decided.
  async "an event that comes late"(lab) {
    const { queue, sql } = lab;
    await addHook(queue, "all");
    await using late = await lab.begin();
    const lateRun = await finish(late.queue, "late", "failed");
    await finish(queue, "early", "failed");
    await leadRound(queue);
    await late.commit();
    await decide(lab);
    await decide({ ...lab, sql });
    return [
      !(await messagesOf(lab, "all")).includes(`run.failed ${lateRun}`) && "a late event was lost",
      (await messagesOf(lab, "all")).length !== 2 && "there are not two messages",
    ];
  },

  async "events of another server"(lab) {
    const { queue, sql } = lab;
    await addHook(queue, "all");
    await sql`update public.loom_hook_cursor set xid = '9000000000000000000'`;
    await decide(lab);
    const failed = await finish(queue, "restored", "failed");
    await decide(lab);
    return [
      !isSame(await messagesOf(lab, "all"), [`run.failed ${failed}`]) &&
        "a hook is silent after a restore",
    ];
  },

  async "a hook that is changed"(lab) {
    const { queue, sql } = lab;
    await sql`update public.loom_hook_cursor set xid = '0', id = 0`;
    await addHook(queue, "all");
    const [cursor] = await sql<{ moved: boolean }[]>`
      select xid > '0'::xid8 as moved from public.loom_hook_cursor`;
    const failed = await finish(queue, "changed", "failed");
    // It was enabled, and stays so.
    await queue.changeHook("all", settingsOf(["run.failed"]));
    await decide(lab);
    const kept = await messagesOf(lab, "all");
    // While one is enabled, the cursor moves with the rounds only.
    await addHook(queue, "always");
    await queue.changeHook("all", { ...settingsOf(["run.failed"]), enabled: false });
    const [disabled] = await readDeliveries(queue, "all");
    await finish(queue, "changed", "failed");
    await queue.changeHook("all", settingsOf(["run.failed"]));
    await decide(lab);
    return [
      cursor?.moved !== true && "the first hook begins with all events of the past",
      !isSame(kept, [`run.failed ${failed}`]) && "a change lost what had happened before",
      disabled?.state !== "failed" && "a disabled hook has messages to send",
      (await messagesOf(lab, "all")).length !== 1 && "it learned of what was while it was disabled",
    ];
  },

  // A hook is being removed in an open transaction while something is written for it.
  async "a hook that is removed"(lab) {
    const { queue, sql } = lab;
    await addHook(queue, "gone");
    await addHook(queue, "kept");
    const failed = await finish(queue, "removed", "failed");
    await untilReadable({ sql });
    await using removing = await lab.begin();
    await removing.queue.removeHook("gone");
    const deciding = leadRound(queue);
    await untilOverOrBlocked(lab, deciding);
    await removing.commit();
    await deciding;
    return [
      !isSame(await messagesOf(lab, "kept"), [`run.failed ${failed}`]) &&
        "another hook got nothing",
    ];
  },

  async "a full hook"(lab) {
    const { queue, sql } = lab;
    await addHook(queue, "full");
    await sql`
      insert into public.loom_hook_deliveries (hook, rule, subject, occurrence, facts)
      select 'full', 'test', 'full', n::text, '{}' from generate_series(1, 1000) as n`;
    await finish(queue, "many", "failed");
    await decide(lab);
    const [hook] = await queue.listHooks();
    const tested = await queue.testHook("full", "ada").then(
      () => true,
      () => false,
    );
    return [
      (hook?.pending ?? 0) > 1_000 && "more messages are kept than may be",
      hook?.dropped !== 1 && "what was dropped is not counted",
      tested && "a test is added to a full hook",
    ];
  },

  // A round wrote messages, and its cursor was set back since: a restored backup, say.
  async "an occurrence that is decided again"(lab) {
    const { queue, sql } = lab;
    await addHook(queue, "all", { rules: ["run.failed", "run.recovered"] });
    const [before] = await sql<{ xid: string }[]>`select xid::text from public.loom_hook_cursor`;
    await finish(queue, "again", "failed");
    await finish(queue, "again", "succeeded");
    await decide(lab);
    const first = await messagesOf(lab, "all");
    await sql`update public.loom_hook_cursor set xid = ${before?.xid ?? "0"}::text::xid8, id = 0`;
    await decide(lab);
    const second = await messagesOf(lab, "all");
    return [
      first.length !== 2 && "there are not two messages",
      second.length > first.length && "one was sent twice",
    ];
  },

  async "what is to be sent"(lab) {
    const { queue, sql } = lab;
    const { epoch } = (await leadRound(queue)).lead;
    await addHook(queue, "chat");
    await addHook(queue, "slow");
    for (const hook of ["chat", "chat", "slow"]) await queue.testHook(hook, "ada");
    const take = async (from: Queue = queue, busy: string[] = [], of = epoch) =>
      (await from.takeDeliveries({ epoch: of, busy })).deliveries;
    const deposed = await take(queue, [], epoch + 1);
    const taken = await take(queue, ["slow"]);
    const again = await take(queue, ["slow"]);
    // Two hubs at once.
    await sql`update public.loom_hook_deliveries set next_at = now() where next_at is not null`;
    await using first = await lab.begin();
    const one = await take(first.queue);
    const taking = take();
    await untilOverOrBlocked(lab, taking);
    await first.commit();
    const other = await taking;
    const ids = [...one, ...other].map(({ id }) => id);
    return [
      deposed.length > 0 && "a hub takes messages that does not lead",
      taken.some(({ hook }) => hook === "slow") && "a message is taken for a busy hook",
      taken.length !== 1 && "a hook has several messages under way",
      again.some(({ id }) => taken.some((each) => each.id === id)) && "a message is taken twice",
      new Set(ids).size !== ids.length && "two hubs took the same message",
    ];
  },

  async "what became of it"(lab) {
    const { queue, sql } = lab;
    const { epoch } = (await leadRound(queue)).lead;
    await addHook(queue, "chat");
    await addHook(queue, "other");
    const made = await queue.testHook("chat", "ada");
    const id = made?.id ?? "";
    const take = async () => {
      await sql`update public.loom_hook_deliveries set next_at = now() where next_at is not null`;
      return only((await queue.takeDeliveries({ epoch, busy: [] })).deliveries);
    };
    const failed = { tookMs: 1, error: "it answered 500" };
    const lost = await take();
    const [during] = await sql<{ later: boolean }[]>`
      select next_at > now() + interval '30 s' as later from public.loom_hook_deliveries`;
    const newer = await take();
    // The first hub comes back when another attempt is under way.
    const stale = await queue.recordDelivery(lost, { tookMs: 1, status: 200 });
    const redelivered = await queue.redeliver("chat", id).then(
      () => true,
      () => false,
    );
    await queue.recordDelivery(newer, { tookMs: 1, status: 200 });
    // The call is repeated, as something else.
    const repeated = await queue.recordDelivery(newer, failed);
    const others = await queue.redeliver("other", id);
    const [delivered] = await readDeliveries(queue, "chat");
    await queue.redeliver("chat", id).catch(() => null);
    let attempts = 0;
    for (; attempts < 20; attempts += 1) {
      const [pending] = await readDeliveries(queue, "chat");
      if (pending?.state !== "pending") break;
      await queue.recordDelivery(await take(), failed);
    }
    return [
      !during?.later && "a message is due while it is sent",
      stale !== null && "the outcome of an older attempt counts",
      redelivered && "a message is sent again that is still tried",
      repeated !== null && "what has arrived fails afterwards",
      others !== null && "a hook sends another's message again",
      delivered?.state !== "delivered" && "what arrived has not",
      attempts !== 8 && `a message was tried ${attempts} times`,
    ];
  },

  async "who may be named"(lab) {
    const { queue } = lab;
    const { epoch } = (await leadRound(queue)).lead;
    const said = [{ workflow: "named", notify: { "run.failed": ["later"] } }];
    const deposed = await queue.syncNotify(said, epoch + 1);
    await queue.syncNotify(said, epoch);
    await queue.syncNotify([{ workflow: "broken", notify: null }], epoch);
    const { missing } = await queue.syncNotify([], epoch);
    await addHook(queue, "one");
    const twice = await addHook(queue, "one").then(
      () => true,
      () => false,
    );
    await lab.sql`
      insert into public.loom_hooks (name, rules, target, sealed, created_by)
      select 'hook-' || n, '{}', '{}', '', 'ada' from generate_series(1, 49) as n`;
    const many = await addHook(queue, "more").then(
      () => true,
      () => false,
    );
    const unknown = await lab.sql`
      select public.loom_change_hook('one', '{no.rule}', '{}', null, true)`.then(
      () => true,
      () => false,
    );
    return [
      deposed.answer !== "deposed" && "a hub says what workflows notify that does not lead",
      missing.length !== 1 && "a workflow that was not named lost what it said",
      twice && "two hooks have one name",
      many && "there are more hooks than may be",
      unknown && "a hook has a rule that does not exist",
    ];
  },
};

/** What goes wrong with hooks. Nothing, while all guards are there. */
export const findFaults = (lab: Lab) => findFaultsIn(SITUATIONS, lab, clear);
