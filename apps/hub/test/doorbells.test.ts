import { workflowCapability } from "@loom/scheduler";
import { createResolver, staticSource } from "@loom/tailscale-resolver";
import type { BellAddress, Ringer } from "@loom/worker";
import { describe, expect, test as plainTest } from "vitest";
import { createDoorbells } from "../src/ring-doorbells.ts";
import { joinWithBell, run, start } from "./bells.ts";
import { collectLog, TOKEN, test, workflows } from "./fixtures.ts";

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
