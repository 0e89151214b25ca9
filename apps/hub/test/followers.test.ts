import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Queue } from "@loom/queue";
import { type BellAddress, ringDoorbell } from "@loom/worker";
import { describe, expect, onTestFinished } from "vitest";
import { run, start } from "./bells.ts";
import { sayHello, TOKEN, test } from "./fixtures.ts";

/** Where a node is rung, as soon as it has told. */
async function bellOf(queue: Queue, name: string): Promise<BellAddress> {
  const read = async () => {
    const node = (await queue.listNodes()).find((known) => known.name === name);
    return { address: node?.tailnetAddress, port: node?.doorbellPort };
  };
  await expect.poll(read, { timeout: 10_000 }).toMatchObject({ port: expect.any(Number) });
  return (await read()) as BellAddress;
}

/** The queue, and the next call of one of its methods, when that was answered. */
function watched<Name extends "lead" | "listDoorbells">(queue: Queue, name: Name) {
  let next = Promise.withResolvers<void>();
  const method = queue[name] as (...args: unknown[]) => Promise<unknown>;
  const watching: Queue = {
    ...queue,
    [name]: async (...args: unknown[]) => {
      const answer = await method(...args);
      next.resolve();
      next = Promise.withResolvers();
      return answer;
    },
  };
  return { queue: watching, next: () => next.promise };
}

describe("a hub that does not lead", () => {
  /** One beside a leader of which there is nothing but the doorbell, at which every ring is counted. */
  async function follow(queue: Queue) {
    const rings: (string | undefined)[] = [];
    let next = Promise.withResolvers<void>();
    const bell = createServer((request, response) => {
      rings.push(String(request.headers["loom-ring-back"]));
      response.writeHead(204).end();
      next.resolve();
      next = Promise.withResolvers();
    }).listen(0, "127.0.0.1");
    await once(bell, "listening");
    onTestFinished(() => void bell.close());
    const { port } = bell.address() as AddressInfo;
    const session = await sayHello(queue, "forge");
    await queue.reportNode(session, {
      capabilities: [],
      slots: 1,
      tailnetAddress: "127.0.0.1",
      doorbellPort: port,
    });
    await queue.lead("forge/1", 45_000);

    const follower = watched(queue, "lead");
    const asked = follower.next();
    const { url } = await start(follower.queue);
    await asked;
    return { url, rings, rung: () => next.promise, own: await bellOf(queue, "oracle") };
  }

  test("rings the one that leads when something is to be placed", async ({ queue }) => {
    const { url, own, rung, rings } = await follow(queue);
    const heard = rung();
    await run(url, "hello");
    await heard;
    expect(rings).toEqual([String(own.port)]);
  });

  test("rings it when a step of its own is over: the next may be for anybody", async ({
    queue,
  }) => {
    const { own, rung, rings } = await follow(queue);
    const [job] = await queue.enqueue([
      { workflow: "pinned", step: "only", input: {}, host: "oracle" },
    ]);
    const heard = rung();
    // As a hub rings: its worker looks, and nothing is passed on.
    await ringDoorbell(own, { ringBack: 7_421 });
    await heard;
    expect(rings).toHaveLength(1);
    expect(await queue.getJob(job?.id ?? 0)).toMatchObject({ state: "succeeded", ranOn: "oracle" });
  });

  test("passes on what an agent rings, and not what a hub rings: that would go to and fro", async ({
    queue,
  }) => {
    const { url, own, rung, rings } = await follow(queue);
    await ringDoorbell(own, { ringBack: 7_421 });
    // Rings every doorbell once, as a hub, and takes many times as long as passing a ring on.
    await fetch(`${url}/api/loom/doctor`, { headers: { authorization: `Bearer ${TOKEN}` } });
    expect(rings).toHaveLength(1);
    const heard = rung();
    await ringDoorbell(own);
    await heard;
    expect(rings).toHaveLength(2);
  });

  // The leader asks for doorbells only in a round that was rung, so that it does so shows what woke it.
  test("has its run placed at once, by the one that leads", async ({ queue, database }) => {
    const leading = watched(queue, "listDoorbells");
    const first = leading.next();
    await start(leading.queue);
    await first;
    await bellOf(queue, "oracle");
    const follower = watched(queue, "lead");
    const asked = follower.next();
    const { url } = await start(follower.queue, "pi");
    await asked;
    const woken = leading.next();
    const { runId } = (await (await run(url, "hello")).json()) as { runId: string };
    await woken;
    await expect
      .poll(async () => (await queue.getRun(runId)).status, { timeout: 10_000 })
      .toBe("succeeded");
    const [took] = await database.sql<{ ms: number }[]>`
      select (extract(epoch from max(at) filter (where type = 'job.claimed')
                                 - min(at) filter (where type = 'run.started')) * 1000)::int as ms
        from public.loom_events where run_id = ${runId}`;
    // Of the leader's floor of 1000 ms; some 30 on an idle machine.
    expect(took?.ms).toBeLessThan(500);
  });
});
