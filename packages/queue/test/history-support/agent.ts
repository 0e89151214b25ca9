import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { ClaimedJob } from "@loom/queue";
import type { Lab } from "./lab.ts";

/** A node's agent, as the tests play it. */
export interface Agent {
  node: string;
  epoch: number;
  /** The number of its last claim that brought jobs. */
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

/** Gives a node a key. */
export async function grantKey({ sql }: Lab, node: string): Promise<{ id: string; text: string }> {
  const text = `loomn_${randomBytes(32).toString("base64url")}`;
  const digest = createHash("sha256").update(text).digest("hex");
  const [row] = await sql<{ id: string }[]>`
    insert into public.loom_node_keys (node, digest, created_by) values (${node}, ${digest}, 'a test') returning id`;
  return { id: row?.id ?? "", text };
}

/** Says hello with a key, as PostgREST passes it on; `during` is done before that is committed. */
export async function joinWithKey<Result>(
  lab: Lab,
  node: string,
  key: string,
  during?: () => Promise<Result>,
): Promise<Agent & { during: Result | undefined }> {
  await using asNode = await lab.begin();
  const headers = JSON.stringify({ "x-loom-node-key": key });
  await asNode.sql`select set_config('role', 'anon', true), set_config('request.headers', ${headers}, true)`;
  const report = { name: node, incarnation: randomUUID(), leaseMs: 60_000 };
  const { epoch } = await asNode.queue.hello({ ...report, capabilities: [], slots: 100 });
  const done = await during?.();
  await asNode.commit();
  return { node, epoch, seq: 0, during: done };
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
