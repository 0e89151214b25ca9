import { makePlan } from "@loom/queue/testing";
import { join, take, takeOne } from "../agent.ts";
import { untilOverOrBlocked } from "../lab.ts";
import { add, failForGood, failure, type Provocation, start, success } from "../provocation.ts";

/** The last two steps of a run are settled, each before the other's settle is committed: one has failed. */
export const lastStepsTogether: Provocation = async (lab, name) => {
  await start(lab, name, [{ step: "left" }, { step: "right" }]);
  const [left, right] = await take(lab, await join(lab, name));
  if (!left || !right) throw new Error("there were two steps");
  await using settling = await lab.begin();
  await settling.queue.settle(name, [failForGood(left)]);
  const other = lab.queue.settle(name, [success(right, "right")]);
  await untilOverOrBlocked(lab, other);
  await settling.commit();
  await other;
};

/** A step needs two others; they end one after the other, well in one run and badly in the next. */
export const twoNeeds: Provocation = async (lab, name) => {
  const steps = [{ step: "a" }, { step: "b" }, { step: "both", after: ["a", "b"] }];
  await start(lab, name, steps);
  const agent = await join(lab, name);
  await lab.queue.settle(name, [success(await takeOne(lab, agent), "a")]);
  await lab.queue.settle(name, [success(await takeOne(lab, agent), "b")]);
  await lab.queue.settle(name, [success(await takeOne(lab, agent), "both")]);

  await start(lab, name, steps);
  await lab.queue.settle(name, [failForGood(await takeOne(lab, agent))]);
  await lab.queue.settle(name, [success(await takeOne(lab, agent), "b")]);
};

/** What two needs lead to, which end at the same time: one is optional, and fails. */
export const afterTwoNeeds: Provocation = async (lab, name) => {
  const after = ["optional", "other"];
  const steps = [
    { step: "optional", optional: true },
    { step: "other" },
    { step: "on", after },
    { step: "undo", after, runsAfter: "failure" as const, skip: "cascade" as const },
    { step: "undone", after: ["undo"] },
    { step: "undo-quietly", after, runsAfter: "failure" as const },
    { step: "tidy", after, runsAfter: "always" as const },
  ];
  for (const end of [success, failForGood]) {
    await start(lab, name, steps);
    const agent = await join(lab, name);
    const [optional, other] = await take(lab, agent);
    if (!optional || !other) throw new Error("there were two steps");
    await using settling = await lab.begin();
    await settling.queue.settle(name, [failForGood(optional)]);
    const last = lab.queue.settle(name, [end(other, "other")]);
    await untilOverOrBlocked(lab, last);
    await settling.commit();
    await last;
    for (const job of await take(lab, agent)) await lab.queue.settle(name, [success(job, "done")]);
  }
};

/** Two hubs decide about one step, the first after its time; then a run is cancelled whose condition was taken. */
export const decidedTwice: Provocation = async (lab, name) => {
  const steps = [{ step: "a" }, { step: "b", after: ["a"], hasCondition: true }];
  const agent = await join(lab, name);
  const asked = async () => {
    const runId = await start(lab, name, steps);
    await lab.queue.settle(name, [success(await takeOne(lab, agent), "a")]);
    const [taken] = await lab.queue.takeConditions();
    if (!taken) throw new Error("there was a condition");
    return { runId, id: taken.id, fence: taken.fence };
  };
  const { id, fence } = await asked();
  await lab.sql`update public.loom_suspended set due_at = now() - interval '1 ms'`;
  await lab.queue.takeConditions();
  await lab.queue.recordConditions([{ id, fence: fence + 1, outcome: "skips" }]);
  await lab.queue.recordConditions([{ id, fence, outcome: "runs" }]);

  const cancelled = await asked();
  await lab.queue.cancelRun(cancelled.runId);
  await lab.queue.recordConditions([{ ...cancelled, outcome: "runs" }]);
};

/** A run is cancelled while one of its steps runs. */
export const cancelledRun: Provocation = async (lab, name) => {
  const runId = await start(lab, name, [{ step: "a" }, { step: "b", after: ["a"] }, { step: "c" }]);
  const job = await takeOne(lab, await join(lab, name));
  await lab.queue.cancelRun(runId);
  await lab.queue.settle(name, [failure(job)]);
};

/** The same keys are used again: together, later, and twice in one batch. */
export const repeatedKeys: Provocation = async (lab, name) => {
  await join(lab, name);
  const jobs = () => add(lab, name, 2, { key: "the same" });
  await Promise.all([jobs(), jobs()]);
  await jobs();
  const plan = makePlan([{ step: "only", host: name }], { workflow: name });
  const run = () => lab.queue.startRun(plan, { key: "the same" });
  await Promise.all([run(), run()]);
  await run();
};
