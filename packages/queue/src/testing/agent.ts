import { randomUUID } from "node:crypto";
import type { PlannedJob } from "@loom/workflow";
import type { ClaimedJob } from "../exchange/claims.ts";
import type { Job } from "../jobs.ts";
import type { Queue } from "../queue.ts";
import type { NodeReport, Session } from "../sessions.ts";
import { makePlan } from "./plan.ts";

/** Opens a session, as an agent that has just started. */
export async function sayHello(
  queue: Queue,
  name: string,
  options: Partial<
    Pick<NodeReport, "capabilities" | "slots" | "leaseMs" | "machine" | "isHub">
  > = {},
): Promise<Session & { requeued: number }> {
  const { epoch, requeued } = await queue.hello({
    name,
    incarnation: randomUUID(),
    leaseMs: 45_000,
    capabilities: [],
    slots: 10,
    ...options,
  });
  return { node: name, epoch, requeued };
}

/** Offers every waiting job to one node. */
export async function offerAll(queue: Queue, node: string, offerMs = 15_000): Promise<number[]> {
  const waiting = await queue.listWaiting();
  const offers = waiting.map(({ id }) => ({ job: id, node, placement: null }));
  return queue.place({ offers, refusals: [], offerMs });
}

/** Claims, and fails unless the session is alive. */
export async function claim(
  queue: Queue,
  session: Session,
  { seq = 1, limit = 10 } = {},
): Promise<ClaimedJob[]> {
  const answer = await queue.claim(session, { seq, limit });
  if (answer.session !== "live") throw new Error(`the session is ${answer.session}`);
  return answer.jobs;
}

/** Returns the only item, and fails if there is not exactly one. */
export function only<Item>(items: readonly Item[]): Item {
  const [item, ...others] = items;
  if (item === undefined || others.length > 0) throw new Error(`expected one, got ${items.length}`);
  return item;
}

/** Starts a run of one step, which the node forge claims. */
export interface RunningJob {
  runId: string;
  session: Session;
  job: ClaimedJob;
  /** The job as it is now. */
  read: () => Promise<Job>;
}

export async function runningJob(
  queue: Queue,
  options: Partial<PlannedJob> = {},
): Promise<RunningJob> {
  const { runId } = await queue.startRun(makePlan([{ step: "only", ...options }]));
  const session = await sayHello(queue, "forge");
  await offerAll(queue, "forge");
  const job = only(await claim(queue, session));
  return { runId, session, job, read: () => queue.getJob(job.id) };
}
