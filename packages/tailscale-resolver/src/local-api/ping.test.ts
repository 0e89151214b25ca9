import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { localApiSource } from "../sources/local-api.ts";
import { type FakeAnswer, sendJson, startFakeLocalApi } from "../testing/fake-local-api.ts";

const result = (facts: object): FakeAnswer =>
  sendJson({ IP: "100.70.0.2", Err: "", LatencySeconds: 0.0123, Endpoint: "", ...facts });

describe("ping", () => {
  test.for([
    {
      title: "a direct path",
      facts: { Endpoint: "192.168.7.2:41641", DERPRegionID: 0, DERPRegionCode: "" },
      path: { kind: "direct", endpoint: "192.168.7.2:41641" },
    },
    {
      title: "a relayed path",
      facts: { DERPRegionID: 4, DERPRegionCode: "fra" },
      path: { kind: "relay", region: "fra" },
    },
    {
      title: "a path through a peer",
      facts: { PeerRelay: "203.0.113.9:7777:vni:1" },
      path: { kind: "peer-relay", endpoint: "203.0.113.9:7777:vni:1" },
    },
    { title: "a path that the daemon does not report", facts: {}, path: undefined },
  ])("reports the time and $title", async ({ facts, path }) => {
    await using daemon = await startFakeLocalApi({ ping: result(facts) });
    const { ping } = localApiSource({ socketPath: daemon.socketPath });
    expect(await ping("100.70.0.2")).toEqual({ reached: true, latencyMs: 12.3, path });
    expect(daemon.requests[0]).toMatchObject({
      method: "POST",
      url: "/localapi/v0/ping?ip=100.70.0.2&type=disco",
    });
  });

  test.for(["no matching peer", "100.70.0.1 is local Tailscale IP"])(
    "gives the daemon's reason: %s",
    async (Err) => {
      await using daemon = await startFakeLocalApi({ ping: result({ Err, IsLocalIP: true }) });
      const { ping } = localApiSource({ socketPath: daemon.socketPath });
      expect(await ping("100.70.0.2")).toEqual({ reached: false, reason: Err });
    },
  );

  test("times out when the node does not answer, since the daemon would wait for ever", async () => {
    const left: Promise<unknown>[] = [];
    await using daemon = await startFakeLocalApi({
      ping: (response) => void left.push(once(response, "close")),
    });
    const { ping } = localApiSource({ socketPath: daemon.socketPath });
    expect(await ping("100.70.0.2", { timeoutMs: 500 })).toEqual({
      reached: false,
      reason: "no answer within 500 ms",
    });
    await Promise.all(left);
    expect(left).toHaveLength(1);
  });

  test("ends when the signal aborts", async () => {
    const stop = new AbortController();
    await using daemon = await startFakeLocalApi({ ping: () => stop.abort(new Error("enough")) });
    const { ping } = localApiSource({ socketPath: daemon.socketPath });
    await expect(ping("100.70.0.2", { signal: stop.signal })).rejects.toThrow("enough");
  });

  test("fails when there is no daemon", async () => {
    const { ping } = localApiSource({ socketPath: "/nonexistent/tailscaled.sock" });
    await expect(ping("100.70.0.2")).rejects.toMatchObject({ code: "DAEMON_ABSENT" });
  });

  test("fails on an invalid answer", async () => {
    await using daemon = await startFakeLocalApi({
      ping: (response) => void response.writeHead(500).end('{"error": "no backend"}'),
    });
    const { ping } = localApiSource({ socketPath: daemon.socketPath });
    await expect(ping("100.70.0.2")).rejects.toMatchObject({ code: "BAD_RESPONSE" });
  });

  test("takes no names", async () => {
    await expect(localApiSource().ping("anvil")).rejects.toThrow(TypeError);
  });
});
