import { randomUUID } from "node:crypto";
import type { Queue, Session } from "@loom/queue";

const LEASE_MS = 3_600_000;
const SLOTS = 8;

/** Nodes that claim what they are offered and hold it until `settle`. */
export interface Fleet {
  /** How many steps the nodes hold. */
  readonly held: number;
  /** Claims what was offered since the last call. */
  claim(): Promise<void>;
  /** Settles this many steps, the longest held first. */
  settle(count: number): Promise<void>;
}

/** Opens a session a node in the real queue. No step's code runs. */
export async function openFleet(
  queue: Queue,
  { size, version }: { size: number; version: string },
): Promise<Fleet> {
  const sessions = new Map<string, Session & { seq: number }>();
  for (let index = 1; index <= size; index += 1) {
    const name = `node-${String(index).padStart(2, "0")}`;
    const { epoch } = await queue.hello({
      name,
      incarnation: randomUUID(),
      leaseMs: LEASE_MS,
      capabilities: ["held-node", "workflow:held", `workflow:held@${version}`],
      slots: SLOTS,
    });
    sessions.set(name, { node: name, epoch, seq: 0 });
  }
  let held: { node: string; id: number; fence: number }[] = [];

  return {
    get held() {
      return held.length;
    },
    async claim() {
      const offered = (await queue.listNodes()).filter((node) => node.offered > 0);
      for (const { name } of offered) {
        const session = sessions.get(name);
        if (!session) continue;
        session.seq += 1;
        const answer = await queue.claim(session, { seq: session.seq, limit: SLOTS });
        if (answer.session !== "live") throw new Error(`${name} is ${answer.session}`);
        held.push(...answer.jobs.map(({ id, fence }) => ({ node: name, id, fence })));
      }
    },
    async settle(count) {
      const done = held.slice(0, count);
      held = held.slice(count);
      for (const { node, id, fence } of done) {
        await queue.settle(node, [{ id, fence, outcome: "succeeded", result: null }]);
      }
    },
  };
}
