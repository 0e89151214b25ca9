import { makePlan } from "@loom/queue/testing";
import { join, take, takeOne } from "../agent.ts";
import { untilOverOrBlocked } from "../lab.ts";
import { add, failForGood, failure, type Provocation, start, success } from "../provocation.ts";

/** The last two steps of a run are settled, each before the other's settle is committed. */
export const lastStepsTogether: Provocation = async (lab, name) => {
  await start(lab, name, [{ step: "left" }, { step: "right" }]);
  const [left, right] = await take(lab, await join(lab, name));
  if (!left || !right) throw new Error("there were two steps");
  await using settling = await lab.begin();
  await settling.queue.settle(name, [success(left, "left")]);
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
