import { type Agent, join, take } from "./agent.ts";
import type { Lab } from "./lab.ts";
import { success } from "./provocation.ts";

// With a mutation it may never end.
const ROUNDS = 60;

/** Lets every node start again and work until nothing is left, or nothing moves any more. */
export async function drain(lab: Lab): Promise<void> {
  const agents: Agent[] = [];
  for (const node of lab.nodes) agents.push(await join(lab, node));
  await lab.queue.reap();
  for (let round = 0; round < ROUNDS; round += 1) {
    await lab.queue.expire();
    await lab.attempt(() => lab.queue.expandMaps());
    await lab.attempt(() => lab.queue.endWaits());
    const waiting = await lab.queue.listWaiting({ perKind: 500 });
    const offers = waiting.map(({ id }, index) => ({
      job: id,
      node: agents[index % agents.length]?.node ?? "",
      placement: null,
    }));
    await lab.queue.place({ offers, refusals: [] });
    const taken = await lab.queue.takeConditions();
    await lab.queue.recordConditions(
      taken.map(({ id, fence }) => ({ id, fence, outcome: "runs" })),
    );
    let isMoving = offers.length + taken.length > 0;
    const work = (agent: Agent) => async () => {
      const jobs = await take(lab, agent);
      const items = jobs.map((job) => success(job, `fence ${job.fence}, at the end`));
      if (items.length === 0) return;
      isMoving = true;
      await lab.queue.settle(agent.node, items);
    };
    await Promise.all(agents.map((agent) => lab.attempt(work(agent))));
    if (!isMoving) return;
  }
}
