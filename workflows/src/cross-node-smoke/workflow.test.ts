import { place, planRun, workflowCapability } from "@loom/scheduler";
import { startSshServer } from "@loom/ssh/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { crossNodeSmoke } from "./workflow.ts";

const node = (name: string, ...capabilities: string[]) => ({
  name,
  capabilities: [...capabilities, workflowCapability(crossNodeSmoke.name, crossNodeSmoke.version)],
  online: true,
  lastSeenMs: 0,
  status: "active" as const,
  slots: 1,
  busy: 0,
});
const mesh = [
  node("forge", "loom-agent"),
  node("oracle", "loom-hub"),
  node("pop-os", "loom-agent"),
];

/** Returns the node that each step would run on. */
const placements = (input: { host?: string }, nodes = mesh) =>
  planRun(crossNodeSmoke, { input }).jobs.map((job) => {
    const [placement] = place([{ ...job, id: job.step }], nodes);
    return placement?.placed ? placement.node : placement?.refusal.code;
  });

describe("cross-node-smoke", () => {
  test("goes from the hub to pop-os and back", () => {
    expect(placements({})).toEqual(["oracle", "pop-os", "oracle", "oracle"]);
  });

  test("takes any other node if there is no pop-os", () => {
    expect(placements({}, mesh.slice(0, 2))).toEqual(["oracle", "forge", "oracle", "oracle"]);
  });

  test("runs only on the node that the input names", () => {
    expect(placements({ host: "forge" })).toEqual(["oracle", "forge", "oracle", "oracle"]);
    expect(placements({ host: "nowhere" })).toEqual([
      "oracle",
      "no_capable_node",
      "oracle",
      "oracle",
    ]);
  });

  const context = {
    input: {},
    signal: new AbortController().signal,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    progress() {},
    checkpoint: async () => {},
    checkpointed: undefined,
    exec: async () => ({ stdout: "", stderr: "", truncated: false }),
    files: {} as never,
    traceparent: null,
    attempt: 1,
    node: "oracle",
    run: { id: "r" },
    step: "check",
    workflow: "cross-node-smoke",
  };
  const run = (name: string, remote: string) =>
    crossNodeSmoke.steps
      .find((step) => step.name === name)
      ?.run({
        ...context,
        step: name,
        results: { local: { host: "oracle", startedAt: Date.now() }, remote: { host: remote } },
      });
  const check = (remote: string) => run("check", remote);

  test("returns both hosts and the round-trip time", async () => {
    expect(await check("pop-os")).toEqual({
      hosts: ["oracle", "pop-os"],
      roundTripMs: expect.any(Number),
    });
  });

  test("fails for good when both steps ran on one host", async () => {
    await expect(check("oracle")).rejects.toMatchObject({ code: "NON_RETRYABLE" });
  });

  test("has a schedule of every quarter of an hour", () => {
    expect(crossNodeSmoke.schedule).toMatchObject({ expression: "*/15 * * * *", input: {} });
  });

  test("skips the SSH check if there is no key", async () => {
    vi.stubEnv("LOOM_SSH_KEY", "/no/such/key");
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await run("ssh", "pop-os")).toEqual({
      checked: false,
      reason: "the key /no/such/key does not exist",
    });
  });

  test("fails unless the key for deploys reaches the other node", async () => {
    const server = await startSshServer({ node: "pop-os" });
    onTestFinished(server.stop);
    vi.stubEnv("LOOM_SSH_KEY", server.keyFile);
    vi.stubEnv("LOOM_SSH_KNOWN_HOSTS", server.knownHosts);
    vi.stubEnv("LOOM_SSH_PORT", String(server.port));
    vi.stubEnv("LOOM_SSH_ADDRESSES", "pop-os=127.0.0.1, forge=127.0.0.1");
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await run("ssh", "pop-os")).toEqual({ checked: true, reason: null });
    await expect(run("ssh", "forge")).rejects.toMatchObject({ code: "HOST_KEY_UNKNOWN" });
    await expect(run("ssh", "unknown")).rejects.toMatchObject({ code: "NOT_FOUND" });
  });
});
