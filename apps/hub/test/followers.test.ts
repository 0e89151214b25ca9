import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Queue } from "@loom/queue";
import { sendWakeUp, type WakeAddress } from "@loom/worker";
import { describe, expect, onTestFinished } from "vitest";
import { sayHello, TOKEN, test } from "./fixtures.ts";
import { run, start } from "./wake-servers.ts";

/** Where a node is woken, as soon as it has reported. */
async function wakeServerOf(queue: Queue, name: string): Promise<WakeAddress> {
  const read = async () => {
    const node = (await queue.listNodes()).find((known) => known.name === name);
    return { address: node?.tailnetAddress, port: node?.wakePort };
  };
  await expect.poll(read).toMatchObject({ port: expect.any(Number) });
  return (await read()) as WakeAddress;
}

/** The queue, and the next round that a hub makes with it, when that was answered. */
function watched(queue: Queue) {
  let next = Promise.withResolvers<void>();
  const watching: Queue = {
    ...queue,
    async round(options) {
      const answer = await queue.round(options);
      next.resolve();
      next = Promise.withResolvers();
      return answer;
    },
  };
  return { queue: watching, next: () => next.promise };
}

describe("a hub that does not lead", () => {
  /** One beside a leader of which there is nothing but the wake server, at which every wake-up is counted. */
  async function follow(queue: Queue) {
    const wakes: (string | undefined)[] = [];
    let next = Promise.withResolvers<void>();
    const wakeServer = createServer((request, response) => {
      wakes.push(String(request.headers["loom-wake-reply-port"]));
      response.writeHead(204).end();
      next.resolve();
      next = Promise.withResolvers();
    }).listen(0, "127.0.0.1");
    await once(wakeServer, "listening");
    onTestFinished(() => void wakeServer.close());
    const { port } = wakeServer.address() as AddressInfo;
    const session = await sayHello(queue, "forge");
    await queue.reportNode(session, {
      capabilities: [],
      slots: 1,
      tailnetAddress: "127.0.0.1",
      wakePort: port,
    });
    await queue.lead("forge/1", 45_000);

    // It makes itself known to a leader that has a longer lease than one that knows of others.
    const introduced = next.promise;
    const { url } = await start(queue);
    await introduced;
    wakes.length = 0;
    return { url, wakes, woken: () => next.promise, own: await wakeServerOf(queue, "oracle") };
  }

  test("wakes the one that leads when something is to be placed", async ({ queue }) => {
    const { url, own, woken, wakes } = await follow(queue);
    const heard = woken();
    await run(url, "hello");
    await heard;
    expect(wakes).toEqual([String(own.port)]);
  });

  test("wakes it when a step of its own is over: the next may be for anybody", async ({
    queue,
  }) => {
    const { own, woken, wakes } = await follow(queue);
    const [job] = await queue.enqueue([
      { workflow: "pinned", step: "only", input: {}, host: "oracle" },
    ]);
    const heard = woken();
    // As a hub wakes: its worker looks, and nothing is passed on.
    await sendWakeUp(own, { replyPort: 7_421 });
    await heard;
    expect(wakes).toHaveLength(1);
    expect(await queue.getJob(job?.id ?? 0)).toMatchObject({ state: "succeeded", ranOn: "oracle" });
  });

  test("passes on what an agent wakes, and not what a hub wakes: that would go to and fro", async ({
    queue,
  }) => {
    const { url, own, woken, wakes } = await follow(queue);
    await sendWakeUp(own, { replyPort: 7_421 });
    // Wakes every wake server once, as a hub, and takes many times as long as passing a wake-up on.
    await fetch(`${url}/api/loom/doctor`, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect(wakes).toHaveLength(1);
    const heard = woken();
    await sendWakeUp(own);
    await heard;
    expect(wakes).toHaveLength(2);
  });

  test("has its run placed at once, by the one that leads", async ({ queue, database }) => {
    const leading = watched(queue);
    const first = leading.next();
    await start(leading.queue);
    await first;
    await wakeServerOf(queue, "oracle");
    const follower = watched(queue);
    const asked = follower.next();
    const { url } = await start(follower.queue, "pi");
    await asked;
    const { runId } = (await (await run(url, "hello")).json()) as { runId: string };
    await expect.poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
    const [took] = await database.sql<{ ms: number }[]>`
      select (extract(epoch from max(at) filter (where type = 'job.claimed')
                                 - min(at) filter (where type = 'run.started')) * 1000)::int as ms
        from public.loom_events where run_id = ${runId}`;
    // Without a wake-up, the leader's next round comes after 1000 ms; on an idle machine it takes about 30.
    expect(took?.ms).toBeLessThan(500);
  });
});
