import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { startHub } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { workflowCapability } from "@loom/scheduler";
import { createResolver, staticSource } from "@loom/tailscale-resolver";
import {
  type BellAddress,
  createInlineRunner,
  openDoorbell,
  type Ringer,
  ringDoorbell,
} from "@loom/worker";
import { describe, expect, onTestFinished, test as plainTest } from "vitest";
import { createDoorbells } from "../src/ring-doorbells.ts";
import { collectLog, sayHello, TOKEN, test, workflows } from "./fixtures.ts";

/** A hub at work, until the end of the test. */
async function start(queue: Queue, name = "oracle") {
  const stop = new AbortController();
  const { log } = collectLog();
  const hub = await startHub(
    {
      queue,
      workflows,
      runner: createInlineRunner(),
      log,
      token: TOKEN,
      bind: "127.0.0.1",
      port: 0,
      node: { name },
    },
    { signal: stop.signal },
  );
  onTestFinished(async () => {
    stop.abort();
    await hub.done;
  });
  return hub;
}

/** A node with a doorbell and nobody who claims; `rung` resolves with the next ring. */
async function joinWithBell(queue: Queue, name: string, capabilities: string[] = []) {
  let next = Promise.withResolvers<BellAddress | undefined>();
  const bell = await openDoorbell({
    address: "127.0.0.1",
    onRing: (ringBack) => {
      next.resolve(ringBack);
      next = Promise.withResolvers();
    },
  });
  onTestFinished(() => bell.close());
  const session = await sayHello(queue, name, { capabilities });
  await queue.reportNode(session, {
    capabilities,
    slots: 10,
    tailnetAddress: bell.address,
    doorbellPort: bell.port,
  });
  return { rung: () => next.promise, close: () => bell.close() };
}

const run = (url: string, workflow: string, input?: unknown) =>
  fetch(`${url}/api/loom/strands/${workflow}/run`, {
    method: "POST",
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: JSON.stringify(input === undefined ? {} : { input }),
  });

describe("a hub", () => {
  test("rings the node that it has chosen, and says where to ring back", async ({ queue }) => {
    const { rung } = await joinWithBell(queue, "forge", [
      "has-gpu",
      ...workflows.flatMap(({ name, version }) => [
        workflowCapability(name),
        workflowCapability(name, version),
      ]),
    ]);
    const heard = rung();
    const { url } = await start(queue);
    await run(url, "train");
    const { tailnetAddress, doorbellPort } = (await queue.listNodes()).find(
      ({ name }) => name === "oracle",
    ) as { tailnetAddress: string; doorbellPort: number };
    const from = "127.0.0.1";
    expect(await heard).toEqual({ address: tailnetAddress, port: doorbellPort, from });
  });

  test("rings a node whose job needs no placing", async ({ queue }) => {
    const { rung } = await joinWithBell(queue, "anvil");
    const heard = rung();
    const { url } = await start(queue);
    await queue.enqueue([{ workflow: "other", step: "only", input: {}, host: "anvil" }]);
    await run(url, "hello");
    await heard;
  });
});

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

describe("/doctor", () => {
  test("rings every doorbell, and says which nobody hears", async ({ queue }) => {
    const { rung } = await joinWithBell(queue, "forge");
    const silent = await joinWithBell(queue, "anvil");
    await silent.close();
    const { url } = await start(queue);
    const heard = rung();
    const answer = await fetch(`${url}/api/loom/doctor`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    const { checks } = (await answer.json()) as { checks: { name: string }[] };
    expect(checks.find(({ name }) => name === "doorbells")).toMatchObject({
      status: "warn",
      findings: [{ subject: "anvil", fix: expect.stringContaining("of anvil") }],
    });
    expect(checks.find(({ name }) => name === "clock")).toMatchObject({
      status: "ok",
      summary: expect.stringMatching(/^hub, .*forge.* within \d+ ms; not told by anvil$/),
    });
    await heard;
  });
});

describe("createDoorbells", () => {
  const TAILNET = staticSource({ forge: "100.64.0.7" });

  async function rungBy(
    node: { name: string; tailnetAddress: string | null; doorbellPort: number | null },
    resolver = createResolver({ source: TAILNET }),
  ): Promise<BellAddress[]> {
    const rung: BellAddress[] = [];
    const ringer: Ringer = { ring: (bell) => void rung.push(bell) };
    const asked: Promise<unknown>[] = [];
    const watched = {
      ...resolver,
      resolve: (name: string) => {
        const answer = resolver.resolve(name);
        asked.push(answer.catch(() => {}));
        return answer;
      },
    };
    const { log } = collectLog();
    createDoorbells({ ringer, resolver: watched, log }).ring(node);
    await Promise.all(asked);
    await Promise.resolve();
    return rung;
  }

  const forge = { name: "forge", tailnetAddress: null, doorbellPort: 7_421 };

  plainTest.for([
    { title: "by its name", node: forge, rung: ["100.64.0.7"] },
    {
      title: "by its own word for the address, where the name is not the machine's",
      node: { ...forge, name: "gpu-1", tailnetAddress: "100.64.0.7" },
      rung: ["100.64.0.7"],
    },
    {
      title: "on this machine",
      node: { ...forge, tailnetAddress: "127.0.0.1" },
      rung: ["127.0.0.1"],
    },
    { title: "not without a doorbell", node: { ...forge, doorbellPort: null }, rung: [] },
    {
      title: "not at an address that is nobody's in the tailnet",
      node: { ...forge, tailnetAddress: "100.64.0.99" },
      rung: [],
    },
    {
      title: "not at an address outside of it, whatever the node says",
      node: { ...forge, tailnetAddress: "192.168.7.10" },
      rung: [],
    },
  ])("rings a node $title", async ({ node, rung }) => {
    expect((await rungBy(node)).map(({ address }) => address)).toEqual(rung);
  });

  plainTest("does not ring where a plain connect would miss the tailnet", async () => {
    const read = async (options: object) => ({
      ...(await TAILNET.read(options)),
      via: "proxy" as const,
    });
    const resolver = createResolver({ source: { ...TAILNET, read } });
    expect(await rungBy(forge, resolver)).toEqual([]);
  });
});
