import { join, lose, take, takeOne } from "../agent.ts";
import { untilOverOrBlocked } from "../lab.ts";
import { add, addUnpinned, offer, type Provocation, release, success } from "../provocation.ts";

/** A claim is repeated under its number while there is more to claim: together, later, and too late. */
export const repeatedClaim: Provocation = async (lab, name) => {
  await add(lab, name, 6);
  const agent = await join(lab, name);
  const again = () => lab.queue.claim(agent, { seq: 1, limit: 2 });
  const [first] = await Promise.all([again(), again()]);
  await again();
  const jobs = first.session === "live" ? first.jobs : [];
  await lab.queue.settle(
    name,
    jobs.slice(0, 1).map((job) => success(job, "one of two")),
  );
  await again();
  await take(lab, { ...agent, seq: 1 }, 2);
  await again();
};

/** A claim comes while a cancel of the same job is not committed yet. */
export const claimDuringCancel: Provocation = async (lab, name) => {
  const ids = await add(lab, name, 1);
  const agent = await join(lab, name);
  await using cancelling = await lab.begin();
  await cancelling.queue.cancel(ids);
  const claim = take(lab, agent);
  await untilOverOrBlocked(lab, claim);
  await cancelling.commit();
  await claim;
};

/** The older of two agents of one name claims. */
export const claimOfSuperseded: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const older = await join(lab, name);
  await join(lab, name);
  await take(lab, older);
};

/** A node that was declared dead claims. */
export const claimOfDead: Provocation = async (lab, name) => {
  await add(lab, name, 1);
  const agent = await join(lab, name);
  await lose(lab, name);
  await take(lab, agent);
};

/** A node claims while the only job is offered to another one. */
export const claimOfAnothersOffer: Provocation = async (lab, name) => {
  const ids = await add(lab, name, 1, { host: `${name}-other` });
  await join(lab, `${name}-other`);
  await take(lab, await join(lab, name));
  await lab.queue.cancel(ids);
};

/** Two hubs offer one job, each to another node. */
export const secondOffer: Provocation = async (lab, name) => {
  const id = await addUnpinned(lab, name);
  const first = await join(lab, name);
  const second = await join(lab, `${name}-second`);
  await offer(lab, id, first.node);
  await offer(lab, id, second.node);
  await Promise.all([take(lab, first), take(lab, second)]);
};

/** Two nodes claim jobs of one key, each before the other's claim is committed. */
export const claimsOfOneKey: Provocation = async (lab, name) => {
  const concurrency = { key: name, limit: 1 };
  const [one, two] = [`${name}-one`, `${name}-two`];
  await add(lab, name, 2, { host: one, concurrency });
  await add(lab, name, 1, { host: two, concurrency });
  const first = await join(lab, one);
  const second = await join(lab, two);
  // The key's row is there from now on: making it would order the two claims too.
  await lab.queue.settle(one, [release(await takeOne(lab, first))]);

  await using claiming = await lab.begin();
  const held = await takeOne(claiming, first);
  const other = take(lab, second);
  await untilOverOrBlocked(lab, other);
  await claiming.commit();
  await other;
  await take(lab, second);
  await lab.queue.settle(one, [success(held, "alone")]);
};
