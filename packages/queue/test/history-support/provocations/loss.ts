import { expireLease, grantKey, join, joinWithKey, lose, take, takeOne } from "../agent.ts";
import { untilOverOrBlocked } from "../lab.ts";
import {
  add,
  addUnpinned,
  offer,
  type Provocation,
  release,
  start,
  success,
} from "../provocation.ts";

/** The reaper looks while a node works and its lease holds. */
export const reapDuringWork: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const job = await takeOne(lab, await join(lab, name));
  await lab.queue.reap();
  await lab.queue.settle(name, [success(job, "in peace")]);
};

/**
 * The reaper has chosen what a dead node held, and waits for the lock of a run; meanwhile the node
 * settles one of its jobs after all, and gives another back, which a live node claims.
 */
export const changesDuringReap: Provocation = async (lab, name) => {
  const [settledId] = await add(lab, name, 1);
  const movedId = await addUnpinned(lab, name);
  const runId = await start(lab, name, [{ step: "locked" }]);
  await offer(lab, movedId, name);
  const heir = await join(lab, `${name}-heir`);
  const jobs = await take(lab, await join(lab, name));
  const settled = jobs.find(({ id }) => id === settledId);
  const moved = jobs.find(({ id }) => id === movedId);
  if (!settled || !moved) throw new Error("there were three jobs");

  await using locking = await lab.begin();
  await locking.sql`select from public.loom_runs where id = ${runId} for update`;
  await expireLease(lab, name);
  const reaping = lab.queue.reap();
  await untilOverOrBlocked(lab, reaping);
  await lab.queue.settle(name, [success(settled, "after all"), release(moved)]);
  await offer(lab, movedId, heir.node);
  await take(lab, heir);
  await locking.commit();
  await reaping;
};

/** A job loses its node more often than it may. */
export const poison: Provocation = async (lab, name) => {
  await add(lab, name, 1, { maxCrashRestarts: 1 });
  for (let loss = 0; loss < 3; loss += 1) {
    await take(lab, await join(lab, name));
    await lose(lab, name);
  }
};

/** A node is lost twice with a job that another node could have, and is excluded for it. */
export const lostTwice: Provocation = async (lab, name) => {
  const id = await addUnpinned(lab, name);
  for (let loss = 0; loss < 2; loss += 1) {
    const agent = await join(lab, name);
    await offer(lab, id, name);
    await takeOne(lab, agent);
    await lose(lab, name);
  }
};

/** A node gives a job back three times before it runs it, and is excluded for it. */
export const declinedOften: Provocation = async (lab, name) => {
  const id = await addUnpinned(lab, name);
  await join(lab, name);
  for (let time = 0; time < 3; time += 1) {
    await offer(lab, id, name);
    await lab.queue.decline(name, [id], "busy");
  }
};

/** An agent starts again while the older one works, which then settles what it held. */
export const restart: Provocation = async (lab, name) => {
  await add(lab, name, 2);
  const [one, two] = await take(lab, await join(lab, name));
  if (!one || !two) throw new Error("there were two jobs");
  const newer = await join(lab, name);
  await lab.queue.settle(name, [success(one, "salvaged")]);
  await take(lab, newer);
  await lab.queue.settle(name, [success(two, "stale")]);
};

/** A node that was declared dead comes back as the same agent and as another one. */
export const comeback: Provocation = async (lab, name) => {
  const report = {
    name,
    incarnation: crypto.randomUUID(),
    leaseMs: 60_000,
    capabilities: [],
    slots: 9,
  };
  await lab.queue.hello(report);
  await lab.queue.hello(report);
  await lose(lab, name);
  await lab.queue.hello(report);
  await lose(lab, name);
  await join(lab, name);
};

/** A node with a key of its own works; the key is revoked, and the agent goes on asking. */
export const revokedWhileItWorks: Provocation = async (lab, name) => {
  // An agent without a key finishes the jobs that it held.
  lab.nodes.add(name);
  await add(lab, name, 2);
  const key = await grantKey(lab, name);
  const agent = await joinWithKey(lab, name, key.text);
  await takeOne(lab, agent);
  await lab.queue.revokeNodeKey(key.id);
  await take(lab, agent);
};

/** A key is revoked while a hello with it is under way. */
export const revokedDuringHello: Provocation = async (lab, name) => {
  const key = await grantKey(lab, name);
  const revoking = await joinWithKey(lab, name, key.text, async () => {
    const call = lab.queue.revokeNodeKey(key.id);
    await untilOverOrBlocked(lab, call);
    return { call };
  });
  await revoking.during?.call;
};
