import { join, lose, take, takeOne } from "../agent.ts";
import { untilOverOrBlocked } from "../lab.ts";
import { add, failForGood, failure, type Provocation, release, success } from "../provocation.ts";

/** The first claim's result arrives while the same node works on the second one. */
export const lateResultDuringNextClaim: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const first = await takeOne(lab, await join(lab, name));
  await lose(lab, name);
  const second = await takeOne(lab, await join(lab, name));
  await lab.queue.settle(name, [success(first, "late")]);
  await lab.queue.settle(name, [success(second, "right")]);
};

/** The same, when the second claim has been given back too: nobody works on it. */
export const lateResultAfterNextClaim: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const first = await takeOne(lab, await join(lab, name));
  await lose(lab, name);
  const second = await takeOne(lab, await join(lab, name));
  await lab.queue.settle(name, [release(second)]);
  await lab.queue.settle(name, [success(first, "late")]);
};

/** A claim is settled as a failure, goes back, and is settled again as a success. */
export const secondSettle: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const job = await takeOne(lab, await join(lab, name));
  await lab.queue.settle(name, [failure(job)]);
  await lab.queue.settle(name, [success(job, "second thoughts")]);
};

/** A claim is settled while another settle of it is not committed yet, and by two more. */
export const settlesTogether: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const job = await takeOne(lab, await join(lab, name));
  await using settling = await lab.begin();
  await settling.queue.settle(name, [success(job, "first")]);
  const others = [failure(job), success(job, "second"), release(job)].map((item) =>
    lab.queue.settle(name, [item]),
  );
  await untilOverOrBlocked(lab, Promise.any(others));
  await settling.commit();
  await Promise.all(others);
};

/** One batch holds two claims of one job, and one of them twice. */
export const twoClaimsInOneBatch: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const first = await takeOne(lab, await join(lab, name));
  await lose(lab, name);
  const second = await takeOne(lab, await join(lab, name));
  const items = [success(first, "late"), success(second, "right"), success(second, "again")];
  await lab.queue.settle(name, items);
};

/** Another node settles with the right fence. */
export const strangersResult: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const stranger = await join(lab, `${name}-stranger`);
  const job = await takeOne(lab, await join(lab, name));
  await lab.queue.settle(stranger.node, [success(job, "not mine")]);
};

/** A result arrives after the job was cancelled with its lost node. */
export const lateResultOfCancelled: Provocation = async (lab, name) => {
  const ids = await add(lab, name, 1);
  const job = await takeOne(lab, await join(lab, name));
  await lab.queue.cancel(ids);
  await lose(lab, name);
  await lab.queue.settle(name, [success(job, "too late")]);
};

/** A finished job is cancelled: one that succeeded, and one that failed. */
export const cancelOfFinished: Provocation = async (lab, name) => {
  const ids = await add(lab, name, 2);
  const [one, two] = await take(lab, await join(lab, name));
  if (!one || !two) throw new Error("there were two jobs");
  await lab.queue.settle(name, [success(one, "done"), failForGood(two)]);
  await lab.queue.cancel(ids);
};

/** Nobody had claimed the job, and a node settles it. */
export const resultOfUnclaimed: Provocation = async (lab, name) => {
  const [id = 0] = await add(lab, name, 1);
  await join(lab, name);
  await lab.queue.settle(name, [success({ id, fence: 0 }, "out of nothing")]);
};
