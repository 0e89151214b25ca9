import { workflowCapability } from "@loom/scheduler";
import { createResolver, staticSource } from "@loom/tailscale-resolver";
import type { WakeAddress, WakeClient } from "@loom/worker";
import { describe, expect, test as plainTest } from "vitest";
import { createNodeWaker, type WakeTarget } from "../src/control/node-waker.ts";
import { collectLog, TOKEN, test, workflows } from "./fixtures.ts";
import { joinWithWakeServer, run, start } from "./wake-servers.ts";

describe("a hub", () => {
  test("wakes the node that it has chosen, and says where to wake the caller", async ({
    queue,
  }) => {
    const { woken } = await joinWithWakeServer(queue, "forge", [
      "has-gpu",
      ...workflows.flatMap(({ name, version }) => [
        workflowCapability(name),
        workflowCapability(name, version),
      ]),
    ]);
    const heard = woken();
    const { url } = await start(queue);
    await run(url, "train");
    const { tailnetAddress, wakePort } = (await queue.listNodes()).find(
      ({ name }) => name === "oracle",
    ) as { tailnetAddress: string; wakePort: number };
    const from = "127.0.0.1";
    expect(await heard).toEqual({ address: tailnetAddress, port: wakePort, from });
  });

  test("wakes a node whose job needs no placing", async ({ queue }) => {
    const { woken } = await joinWithWakeServer(queue, "anvil");
    const heard = woken();
    const { url } = await start(queue);
    await queue.enqueue([{ workflow: "other", step: "only", input: {}, host: "anvil" }]);
    await run(url, "hello");
    await heard;
  });
});

describe("/doctor", () => {
  test("wakes every wake server, and says which nobody hears", async ({ queue }) => {
    const { woken } = await joinWithWakeServer(queue, "forge");
    const silent = await joinWithWakeServer(queue, "anvil");
    await silent.close();
    const { url } = await start(queue);
    const heard = woken();
    const answer = await fetch(`${url}/api/loom/doctor`, {
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    const { checks } = (await answer.json()) as { checks: { name: string }[] };
    expect(checks.find(({ name }) => name === "wake-servers")).toMatchObject({
      status: "warn",
      findings: [{ subject: "anvil", fix: expect.stringContaining("of anvil") }],
    });
    expect(checks.find(({ name }) => name === "clock")).toMatchObject({
      status: "ok",
      summary: expect.stringMatching(/^hub, .*forge.* within \d+ ms; not reported by anvil$/),
    });
    await heard;
  });
});

describe("createNodeWaker", () => {
  const TAILNET = staticSource({ forge: "100.64.0.7" });

  const BOOT = "5f0c9a52-1a4e-4a5e-9b0e-3f3c6f0f7d11";

  async function wokenBy(
    node: WakeTarget,
    resolver = createResolver({ source: TAILNET }),
  ): Promise<WakeAddress[]> {
    const woken: WakeAddress[] = [];
    const wakeClient: WakeClient = { wake: (route) => void woken.push(route) };
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
    createNodeWaker({ wakeClient, resolver: watched, boot: () => BOOT, log }).wake(node);
    await Promise.all(asked);
    await Promise.resolve();
    return woken;
  }

  const forge = { name: "forge", tailnetAddress: null, wakePort: 7_421, boot: null };

  plainTest.for([
    { title: "by its name", node: forge, woken: ["100.64.0.7"] },
    {
      title: "by its own word for the address, where the name is not the machine's",
      node: { ...forge, name: "gpu-1", tailnetAddress: "100.64.0.7" },
      woken: ["100.64.0.7"],
    },
    {
      title: "on this machine",
      node: { ...forge, tailnetAddress: "127.0.0.1", boot: BOOT },
      woken: ["127.0.0.1"],
    },
    {
      title: "not on this machine where it is on another one",
      node: { ...forge, tailnetAddress: "127.0.0.1", boot: "5f0c9a52-1a4e-4a5e-9b0e-3f3c6f0f7d12" },
      woken: [],
    },
    {
      title: "not on this machine where it does not say on which it is",
      node: { ...forge, tailnetAddress: "::1" },
      woken: [],
    },
    { title: "not without a wake server", node: { ...forge, wakePort: null }, woken: [] },
    {
      title: "not at an address that is nobody's in the tailnet",
      node: { ...forge, tailnetAddress: "100.64.0.99" },
      woken: [],
    },
    {
      title: "not at an address outside of it, whatever the node says",
      node: { ...forge, tailnetAddress: "192.168.7.10" },
      woken: [],
    },
  ])("wakes a node $title", async ({ node, woken }) => {
    expect((await wokenBy(node)).map(({ address }) => address)).toEqual(woken);
  });

  plainTest("does not wake where a plain connect would miss the tailnet", async () => {
    const read = async (options: object) => ({
      ...(await TAILNET.read(options)),
      via: "proxy" as const,
    });
    const resolver = createResolver({ source: { ...TAILNET, read } });
    expect(await wokenBy(forge, resolver)).toEqual([]);
  });
});
