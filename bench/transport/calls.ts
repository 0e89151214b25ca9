// Makes the calls of one client, and sends what they cost.
import { once } from "node:events";
import type { Queue } from "@loom/queue";
import type { ClientName, Load } from "./client.ts";

const LOOPS = 4;
const WARM_UP_CALLS = 200;

const [{ client, load }] = (await once(process, "message")) as [{ client: ClientName; load: Load }];
const queue = await openQueue(client, load);
await makeCalls(WARM_UP_CALLS);
const [start, before] = [performance.now(), process.cpuUsage()];
const calls = await makeCalls(load.calls);
const { user, system } = process.cpuUsage(before);
process.send?.({
  perSecond: calls / ((performance.now() - start) / 1_000),
  cpuUs: (user + system) / calls,
  memoryMib: process.memoryUsage.rss() / 2 ** 20,
});
process.disconnect();

/** Each client is loaded only where it is measured. */
async function openQueue(name: ClientName, { url, serviceKey: key }: Load): Promise<Queue> {
  if (name === "@loom/queue/http") {
    const { createHttpQueue } = await import("@loom/queue/http");
    return createHttpQueue({ url, key });
  }
  const { createQueue } = await import("@loom/queue");
  const { createClient } = await import("@supabase/supabase-js");
  return createQueue({ client: createClient(url, key, { auth: { persistSession: false } }) });
}

/** Enqueues, claims and settles in loops; each is a node. Returns how many calls it made. */
async function makeCalls(count: number): Promise<number> {
  let made = 0;
  const loop = async (index: number) => {
    const node = `node-${index}`;
    const report = { name: node, incarnation: crypto.randomUUID(), leaseMs: 600_000 };
    const { epoch } = await queue.hello({ ...report, capabilities: [], slots: 10_000 });
    const jobs = Array.from({ length: load.batch }, (_, input) => ({
      ...{ workflow: "bench", step: "only", host: node },
      input: { input, text: "x".repeat(40) },
    }));
    for (let seq = 1; made < count; seq += 1) {
      await queue.enqueue(jobs);
      const claimed = await queue.claim({ node, epoch }, { seq, limit: load.batch });
      if (claimed.session !== "live") throw new Error(claimed.session);
      const result = { ok: true };
      await queue.settle(
        node,
        claimed.jobs.map(({ id, fence }) => ({ id, fence, outcome: "succeeded", result })),
      );
      made += 3;
    }
  };
  await Promise.all(Array.from({ length: LOOPS }, (_, index) => loop(index)));
  return made;
}
