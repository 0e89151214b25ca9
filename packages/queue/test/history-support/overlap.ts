import { randomUUID } from "node:crypto";
import type { Queue } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { type Agent, expireLease, join, lose, take } from "./agent.ts";
import { type Lab, untilOverOrBlocked } from "./lab.ts";
import { failure, offer, success } from "./provocation.ts";

/** A run of one step, the node that has to do with it, and another one. */
interface Scene {
  agent: Agent;
  other: Agent;
  id: number;
  runId: string;
}

/** How far the step has come, one move after the other, when two calls meet. */
const MOVES: Readonly<Record<string, (lab: Lab, scene: Scene) => Promise<unknown>>> = {
  waiting: async () => undefined,
  offered: (lab, { agent, id }) => offer(lab, id, agent.node),
  running: (lab, { agent }) => take(lab, agent),
  unheard: (lab, { agent }) => expireLease(lab, agent.node),
  "given back": (lab, { agent }) => lose(lab, agent.node),
  "offered again": (lab, { other, id }) => offer(lab, id, other.node),
};

const CALLS: Readonly<Record<string, (queue: Queue, scene: Scene) => Promise<unknown>>> = {
  place: (queue, { other, id }) => offer({ queue }, id, other.node),
  claim: (queue, { agent }) => queue.claim(agent, { seq: agent.seq + 1, limit: 1 }),
  "claim elsewhere": (queue, { other }) => queue.claim(other, { seq: 1, limit: 1 }),
  decline: (queue, { agent, id }) => queue.decline(agent.node, [id], "busy"),
  succeed: (queue, { agent, id }) =>
    queue.settle(agent.node, [success({ id, fence: 1 }, "overlapping")]),
  fail: (queue, { agent, id }) => queue.settle(agent.node, [failure({ id, fence: 1 })]),
  cancel: (queue, { runId }) => queue.cancelRun(runId),
  reap: (queue) => queue.reap(),
  hello: (queue, { agent }) =>
    queue.hello({
      name: agent.node,
      incarnation: randomUUID(),
      leaseMs: 60_000,
      capabilities: [],
      slots: 100,
    }),
};

/** Lets every call meet every other one, at each point of a step's way, before the first one commits. */
export async function overlapAll(lab: Lab): Promise<void> {
  const states = Object.keys(MOVES);
  for (const [index, state] of states.entries()) {
    for (const [first, begin] of Object.entries(CALLS)) {
      for (const [second, meet] of Object.entries(CALLS)) {
        const name = `${state}-${first}-${second}`.replaceAll(" ", "-");
        await lab.attempt(async () => {
          const scene = await openScene(lab, name);
          for (const move of Object.values(MOVES).slice(0, index + 1)) await move(lab, scene);
          await using transaction = await lab.begin();
          await begin(transaction.queue, scene);
          const meeting = meet(lab.queue, scene);
          await untilOverOrBlocked(lab, meeting);
          await transaction.commit();
          await meeting;
        });
      }
    }
  }
}

async function openScene(lab: Lab, name: string): Promise<Scene> {
  const agent = await join(lab, name);
  const other = await join(lab, `${name}-other`);
  const { runId } = await lab.queue.startRun(makePlan([{ step: "only" }], { workflow: name }));
  const [job] = (await lab.queue.getRun(runId)).jobs;
  return { agent, other, runId, id: job?.id ?? 0 };
}
