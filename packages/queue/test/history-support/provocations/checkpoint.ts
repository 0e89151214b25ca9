import { expireLease, join, lose, takeOne } from "../agent.ts";
import { type Lab, untilOverOrBlocked } from "../lab.ts";
import { add, type Provocation, release, success } from "../provocation.ts";

const save = (
  { queue }: Pick<Lab, "queue">,
  node: string,
  { id, fence }: { id: number; fence: number },
  seq: number,
  value: string,
) => queue.saveCheckpoint({ node, id, fence }, { seq, json: JSON.stringify(value) });

/** A lost attempt keeps something while the next one works. */
export const lateCheckpoint: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const first = await takeOne(lab, await join(lab, name));
  await save(lab, name, first, 1, "first");
  await lose(lab, name);
  const again = await join(lab, name);
  const second = await takeOne(lab, again);
  // It has the number that comes next, in case the attempts were counted together.
  await save(lab, name, first, 2, "late");
  await save(lab, name, second, 1, "right");
  await save(lab, name, first, 3, "later");
  await lab.queue.settle(name, [release(second)]);
  await takeOne(lab, again);
};

/** An attempt that has ended keeps something. */
export const checkpointAfterTheEnd: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const job = await takeOne(lab, await join(lab, name));
  await lab.queue.settle(name, [success(job, "done")]);
  await save(lab, name, job, 1, "too late");
};

/** Another node keeps something with the right fence. */
export const strangersCheckpoint: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const stranger = await join(lab, `${name}-stranger`);
  const job = await takeOne(lab, await join(lab, name));
  await save(lab, stranger.node, job, 1, "not mine");
};

/** A copy of a call arrives after the next one. */
export const lateCopyOfACheckpoint: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const agent = await join(lab, name);
  const job = await takeOne(lab, agent);
  await save(lab, name, job, 1, "old");
  await save(lab, name, job, 2, "new");
  await save(lab, name, job, 1, "old");
  await lab.queue.settle(name, [release(job)]);
  await takeOne(lab, agent);
};

/** An attempt keeps something while its job is taken back, which is not committed yet. */
export const checkpointDuringRequeue: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const job = await takeOne(lab, await join(lab, name));
  await expireLease(lab, name);
  await using reaping = await lab.begin();
  await reaping.queue.reap();
  const saving = save(lab, name, job, 1, "meanwhile");
  await untilOverOrBlocked(lab, saving);
  await reaping.commit();
  await saving;
  await takeOne(lab, await join(lab, name));
};

/** A job is given back with a checkpoint, and nobody claims it until all rows were looked at. */
export const checkpointOfAJobThatWaits: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const job = await takeOne(lab, await join(lab, name));
  await save(lab, name, job, 1, "kept");
  await lab.queue.settle(name, [release(job)]);
};
