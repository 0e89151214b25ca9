import { randomUUID } from "node:crypto";
import type { ClaimedJob } from "@loom/queue";
import type { Lab } from "./lab.ts";

/** A node's agent, as the tests play it. */
export interface Agent {
  node: string;
  epoch: number;
  /** Of its last claim that brought something. */
  seq: number;
}

/** Says hello as a new agent of the node. */
export async function join(lab: Lab, node: string): Promise<Agent> {
  lab.nodes.add(node);
  const incarnation = randomUUID();
  const report = { name: node, incarnation, leaseMs: 60_000, capabilities: [], slots: 100 };
  const { epoch } = await lab.queue.hello(report);
  return { node, epoch, seq: 0 };
}

/** Claims under the next number. */
export async function take(
  lab: Pick<Lab, "queue">,
  agent: Agent,
  limit = 100,
): Promise<ClaimedJob[]> {
  const answer = await lab.queue.claim(agent, { seq: agent.seq + 1, limit });
  if (answer.session !== "live" || answer.jobs.length === 0) return [];
  agent.seq += 1;
  return answer.jobs;
}

/** Claims one job, which has to be there. */
export async function takeOne(lab: Pick<Lab, "queue">, agent: Agent): Promise<ClaimedJob> {
  const [job] = await take(lab, agent, 1);
  if (!job) throw new Error(`there was nothing for ${agent.node}`);
  return job;
}

/** Lets a node's lease run out, and reaps. */
export async function lose(lab: Lab, node: string): Promise<void> {
  await expireLease(lab, node);
  await lab.queue.reap();
}

/** Moves the row, not the clock: a lease that ended a moment ago, while somebody watched. */
export async function expireLease({ sql }: Lab, node: string): Promise<void> {
  await sql`update public.loom_node_sessions set expires_at = clock_timestamp() - interval '1 second' where node = ${node}`;
}
