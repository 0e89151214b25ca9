import type { NotifyPolicy, PlannedWait } from "@loom/workflow";
import { hookRules } from "@loom/workflow/hook-rules";
import { describe, expect } from "vitest";
import type { HookSettings } from "../../../hooks/hooks.ts";
import type { Queue } from "../../../queue.ts";
import { claim, offerAll, only, sayHello } from "../../agent.ts";
import { addHook, decide, leadRound, readDeliveries } from "../../hooks.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";
import { expireLeases, setRunAt } from "../../rows.ts";
import { hour, leadSchedule, skippedSlot, slot } from "../../schedule.ts";
import { untilReadable } from "../../until-readable.ts";

const MINUTE_MS = 60_000;

/** Runs a workflow of one step to its end. */
async function finish(
  queue: Queue,
  outcome: "succeeded" | "failed",
  { workflow = "made-for-test" }: { workflow?: string } = {},
): Promise<string> {
  const { runId } = await queue.startRun(makePlan([{ step: "only" }], { workflow }));
  const session = await sayHello(queue, "forge");
  await offerAll(queue, "forge");
  const { id, fence } = only(await claim(queue, session));
  const error = { name: "Error", message: "no disk" };
  await queue.settle("forge", [
    outcome === "failed" ? { id, fence, outcome, error } : { id, fence, outcome, result: null },
  ]);
  return runId;
}

export function hooksContract(test: QueueTest): void {
  describe("a hook", () => {
    test("is listed without what is sealed, and changed except for its name", async ({ queue }) => {
      await addHook(queue, "mail", { rules: ["run.failed", "step.waiting"], waitingMs: MINUTE_MS });
      const made = await addHook(queue, "chat");
      expect(made).toMatchObject({ enabled: true, pending: 0, dropped: 0, lastDelivery: null });
      const listed = await queue.listHooks();
      expect(listed.map(({ name }) => name)).toEqual(["chat", "mail"]);
      expect(JSON.stringify(listed)).not.toContain("sealed for");
      const settings: HookSettings = {
        rules: ["node.lost"],
        workflows: [],
        waitingMs: null,
        enabled: false,
      };
      const target = { shown: { kind: "ntfy" }, sealed: "x" };
      expect(await queue.changeHook("mail", { ...settings, target })).toMatchObject({
        ...settings,
        target: { kind: "ntfy" },
      });
      expect(await queue.changeHook("mail", settings)).toMatchObject({ target: { kind: "ntfy" } });
      expect(await queue.removeHook("mail")).toMatchObject({ name: "mail" });
      expect(await queue.removeHook("mail")).toBeNull();
      expect(await queue.changeHook("mail", settings)).toBeNull();
      expect(await queue.listDeliveries("mail")).toBeNull();
    });

    test("has a name that no other hook has", async ({ queue }) => {
      await addHook(queue, "chat");
      await expect(addHook(queue, "chat")).rejects.toMatchObject({ code: "HOOK_NAME_TAKEN" });
    });

    test("is refused when there are many", async ({ queue, database }) => {
      await addHook(queue, "hook-0");
      await database.sql`
        insert into public.loom_hooks (name, rules, target, sealed, created_by)
        select 'hook-' || n, '{node.lost}', '{}', '', 'ada' from generate_series(1, 49) as n`;
      await expect(addHook(queue, "more")).rejects.toMatchObject({ code: "TOO_MANY_HOOKS" });
    });

    test.for<{ title: string; name?: string; hook: Partial<HookSettings> }>([
      {
        title: "more rules than there are",
        hook: { rules: Array<"run.failed">(hookRules.length + 1).fill("run.failed") },
      },
      { title: "an unknown rule", hook: { rules: ["run.lost" as "run.failed"] } },
      { title: "a name that no URL can carry", name: "a/b", hook: {} },
      { title: "waiting steps and no time", hook: { rules: ["step.waiting"] } },
      { title: "a time and no waiting steps", hook: { waitingMs: MINUTE_MS } },
      {
        title: "a time of less than a minute",
        hook: { rules: ["step.waiting"], waitingMs: MINUTE_MS - 1 },
      },
      {
        title: "lost nodes of a workflow",
        hook: { rules: ["node.lost"], workflows: ["made-for-test"] },
      },
    ])("is refused with $title", async ({ name = "bad", hook }, { queue }) => {
      await expect(addHook(queue, name, hook)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await queue.listHooks()).toEqual([]);
    });

    test("gets one message for each failed run of its workflows, however often it is decided", async ({
      queue,
      database,
    }) => {
      await finish(queue, "failed");
      await addHook(queue, "all");
      await addHook(queue, "other", { workflows: ["another"] });
      await addHook(queue, "silent", { enabled: false });
      const first = await finish(queue, "failed");
      await finish(queue, "succeeded");
      const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
      await queue.cancelRun(runId);
      const second = await finish(queue, "failed", { workflow: "another" });
      await decide({ queue, database }, "all");
      const all = await decide({ queue, database }, "all");
      expect(all.map(({ rule, subject }) => [rule, subject])).toEqual([
        ["run.failed", first],
        ["run.failed", second],
      ]);
      expect(all[0]).toMatchObject({
        state: "pending",
        attempts: 0,
        facts: { workflow: "made-for-test", run: first, step: "only", node: "forge" },
      });
      expect(JSON.stringify(all[0]?.facts)).toContain("no disk");
      expect(await readDeliveries(queue, "other")).toMatchObject([{ subject: second }]);
      expect(await readDeliveries(queue, "silent")).toEqual([]);
      expect(await leadRound(queue)).toMatchObject({ hasDeliveries: true });
    });

    test("learns once that a workflow has recovered", async ({ queue, database }) => {
      await addHook(queue, "all", { rules: ["run.recovered"] });
      await finish(queue, "succeeded");
      await finish(queue, "failed", { workflow: "another" });
      await finish(queue, "failed");
      const failed = await finish(queue, "failed");
      const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
      await queue.cancelRun(runId);
      const recovered = await finish(queue, "succeeded");
      await finish(queue, "succeeded");
      expect(await decide({ queue, database }, "all")).toMatchObject([
        {
          rule: "run.recovered",
          subject: "made-for-test",
          facts: { run: recovered, failedRun: failed },
        },
      ]);
    });

    test("learns of each loss of a node, and of none that was expected", async ({
      queue,
      database,
    }) => {
      await addHook(queue, "ops", { rules: ["node.lost"] });
      for (const _ of [1, 2]) {
        for (const node of ["forge", "anvil"]) await sayHello(queue, node, { leaseMs: 3_000 });
        await queue.setNodeStatus("anvil", { status: "draining" });
        await leadRound(queue);
        await expireLeases(database);
        await database.sql`update public.loom_leaders set ticked_at = now() - interval '1100 ms' where duty = 'reaper'`;
        await leadRound(queue);
      }
      const lost = await decide({ queue, database }, "ops");
      expect(lost.map(({ subject }) => subject)).toEqual(["forge", "forge"]);
      expect(lost[0]?.facts).toMatchObject({ node: "forge" });
    });

    test("learns of steps that wait for long: one message for each workflow, and another when more have waited as long again", async ({
      queue,
      database,
    }) => {
      await addHook(queue, "ops", { rules: ["step.waiting"], waitingMs: 30 * MINUTE_MS });
      const [, newer] = await queue.enqueue([makeJob({ key: "old" }), makeJob({ key: "new" })]);
      await queue.enqueue([makeJob({ key: "paused", workflow: "held" })]);
      await queue.pauseWorkflow("held");
      const waitSince = (key: string, minutes: number) =>
        setRunAt(database, `now() - interval '${minutes} minutes'`, key);
      const check = async () => {
        await database.sql`update public.loom_hooks set waits_checked_at = null`;
        return (await decide({ queue, database }, "ops")).map(({ facts }) => facts);
      };
      await waitSince("old", 29);
      await waitSince("paused", 40);
      expect(await check()).toEqual([]);
      await waitSince("old", 31);
      expect(await check()).toMatchObject([{ workflow: "made-for-test", steps: 1 }]);
      // It is known, and the other one comes too soon after the message.
      await waitSince("new", 30);
      expect(await check()).toHaveLength(1);
      await database.sql`
        update public.loom_hook_deliveries set created_at = created_at - interval '31 minutes'`;
      await waitSince("old", 62);
      await waitSince("new", 35);
      expect(await check()).toMatchObject([{ steps: 1 }, { steps: 2, job: newer?.id }]);
      // It is decided only once in a tenth of the time.
      await database.sql`delete from public.loom_hook_deliveries`;
      expect(await decide({ queue, database }, "ops")).toEqual([]);
    });

    test("learns once of each step that asks a person, and of none that was decided before it looked", async ({
      queue,
      database,
    }) => {
      await addHook(queue, "ops", { rules: ["approval.asked"] });
      await addHook(queue, "other", { rules: ["approval.asked"], workflows: ["another"] });
      const ask = async (workflow: string) => {
        const wait: PlannedWait = {
          ...{ kind: "approval", title: "Ship?", who: ["ada"], timeoutMs: null },
          ...{ onTimeout: "fail", inputSchema: null, defaultInput: {} },
        };
        const { runId } = await queue.startRun(makePlan([{ step: "ship", wait }], { workflow }));
        const [job] = (await queue.getRun(runId)).jobs;
        return job?.id ?? 0;
      };
      const first = await ask("made-for-test");
      const second = await ask("another");
      const decided = await ask("made-for-test");
      const { digest } = await queue.getApproval(decided);
      await queue.decideApproval(decided, {
        ...{ decision: "approved", digest, by: "token ada", names: ["ada"] },
      });
      await decide({ queue, database }, "ops");
      const asked = await decide({ queue, database }, "ops");
      expect(asked.map(({ subject }) => Number(subject))).toEqual([first, second]);
      expect(asked[0]).toMatchObject({
        rule: "approval.asked",
        facts: {
          workflow: "made-for-test",
          step: "ship",
          job: first,
          question: "Ship?",
          who: ["ada"],
          expiresAt: null,
        },
      });
      expect(await readDeliveries(queue, "other")).toMatchObject([{ subject: String(second) }]);
    });

    test("is notified of what a workflow names it for, also with no rule of its own, and once", async ({
      queue,
      database,
    }) => {
      const { epoch } = (await leadRound(queue)).lead;
      await addHook(queue, "ops", { rules: [] });
      await addHook(queue, "all");
      const say = (notify: NotifyPolicy | null) =>
        queue.syncNotify([{ workflow: "made-for-test", notify }], epoch);
      expect(await say({ "run.failed": ["ops", "all", "later"], "step.waiting": ["ops"] })).toEqual(
        {
          answer: "written",
          missing: [{ hook: "later", workflows: ["made-for-test"] }],
        },
      );
      // What is not named keeps what it said.
      await queue.syncNotify([{ workflow: "another", notify: null }], epoch);
      const failed = await finish(queue, "failed");
      await finish(queue, "failed", { workflow: "another" });
      const [slow] = await queue.enqueue([makeJob({ key: "slow" })]);
      await setRunAt(database, "now() - interval '31 minutes'", "slow");
      const asked = await decide({ queue, database }, "ops");
      expect(asked.map(({ rule, subject }) => [rule, subject])).toEqual([
        ["run.failed", failed],
        ["step.waiting", "made-for-test"],
      ]);
      expect(await readDeliveries(queue, "all")).toHaveLength(2);

      expect(await queue.syncNotify([], epoch + 1)).toMatchObject({ answer: "deposed" });
      // It says nothing any more.
      await say(null);
      await queue.cancel([slow?.id ?? 0]);
      await finish(queue, "failed");
      expect(await decide({ queue, database }, "ops")).toHaveLength(2);
      expect(await readDeliveries(queue, "all")).toHaveLength(3);
    });

    test("learns of the times of a schedule that got no run, together, and of none that the schedule itself left out", async ({
      queue,
      database,
    }) => {
      await addHook(queue, "ops", { rules: ["schedule.missed"] });
      const { decide: decideSlots } = await leadSchedule({ queue, database });
      const missed = (hours: number) =>
        slot(hours, { decision: "missed", code: "too_late", reason: "all hubs were away" });
      const without = ({ start: _, ...rest }: ReturnType<typeof slot>) => rest;
      const write = await decideSlots(
        [skippedSlot(1), without(missed(2)), without(missed(3)), slot(4)],
        hour(5),
      );
      await write();
      await write();
      expect(await readDeliveries(queue, "ops")).toMatchObject([
        {
          rule: "schedule.missed",
          subject: "nightly",
          facts: { schedule: "nightly", slots: 2, code: "too_late" },
        },
      ]);
    });

    test("that is disabled sends nothing that is pending, and begins anew when it is enabled", async ({
      queue,
      database,
    }) => {
      await addHook(queue, "all");
      await finish(queue, "failed");
      await decide({ queue, database }, "all");
      const settings: HookSettings = {
        rules: ["run.failed"],
        workflows: [],
        waitingMs: null,
        enabled: false,
      };
      await queue.changeHook("all", settings);
      await finish(queue, "failed");
      await queue.changeHook("all", { ...settings, enabled: true });
      expect(await decide({ queue, database }, "all")).toMatchObject([
        { state: "failed", nextAt: null, error: "the hook was disabled before this was sent" },
      ]);
      await finish(queue, "failed");
      expect(await decide({ queue, database }, "all")).toMatchObject([
        { state: "failed" },
        { state: "pending" },
      ]);
    });

    test("drops and counts what is beyond its backlog", async ({ queue, database }) => {
      await addHook(queue, "all");
      await database.sql`
        insert into public.loom_hook_deliveries (hook, rule, subject, occurrence, facts)
        select 'all', 'test', 'all', n::text, '{}' from generate_series(1, 999) as n`;
      await finish(queue, "failed");
      await finish(queue, "failed");
      await untilReadable(database);
      await leadRound(queue);
      expect(await queue.listHooks()).toMatchObject([{ pending: 1_000, dropped: 1 }]);
      await expect(queue.testHook("all", "ada")).rejects.toMatchObject({
        code: "HOOK_BACKLOG_FULL",
      });
    });

    test("goes on after a restore from another server, whose events had other numbers", async ({
      queue,
      database,
    }) => {
      await addHook(queue, "all");
      await database.sql`update public.loom_hook_cursor set xid = '9000000000000000000'`;
      await decide({ queue, database }, "all");
      const failed = await finish(queue, "failed");
      expect(await decide({ queue, database }, "all")).toMatchObject([{ subject: failed }]);
    });

    // Interleavings: a round writes for a hook that is being removed, disabled, tested or sent for.
    test("is removed, disabled, tested and sent for beside rounds, and every failure is written once", async ({
      queue,
      database,
    }) => {
      const { epoch } = (await leadRound(queue)).lead;
      const settings: HookSettings = {
        rules: ["run.failed"],
        workflows: [],
        waitingMs: null,
        enabled: true,
      };
      await addHook(queue, "kept");
      const failed: string[] = [];
      for (let count = 0; count < 8; count += 1) {
        await addHook(queue, "gone");
        failed.push(await finish(queue, "failed"), await finish(queue, "failed"));
        await untilReadable(database);
        const [sent] = (await queue.takeDeliveries({ epoch, busy: [] })).deliveries;
        // A part of a round that failed rejects it.
        await Promise.all([
          leadRound(queue),
          queue.removeHook("gone"),
          queue.testHook("gone", "ada"),
          queue.changeHook("kept", settings),
          leadRound(queue),
          queue.takeDeliveries({ epoch, busy: [] }),
          ...(sent ? [queue.recordDelivery(sent, { tookMs: 1, status: 200 })] : []),
          queue.changeHook("gone", { ...settings, enabled: false }),
        ]);
      }
      const kept = await decide({ queue, database }, "kept");
      expect(kept.map(({ subject }) => subject).sort()).toEqual(failed.sort());
    });

    test("keeps no delivery for longer than runs are kept, unless it is pending", async ({
      queue,
      database,
    }) => {
      await addHook(queue, "all");
      const kept = await queue.testHook("all", "ada");
      const gone = await queue.testHook("all", "ada");
      await database.sql`
        update public.loom_hook_deliveries set created_at = now() - interval '31 days'`;
      await database.sql`
        update public.loom_hook_deliveries set state = 'delivered', next_at = null where id = ${gone?.id ?? ""}`;
      await queue.prune({ keepDays: 30 });
      expect(await readDeliveries(queue, "all")).toMatchObject([{ id: kept?.id }]);
    });
  });
}
