import { place, planRun } from "@loom/scheduler";
import { describe, expect, test } from "vitest";
import { crossNodeSmoke } from "./workflow.ts";

const node = (name: string, ...capabilities: string[]) => ({
  name,
  capabilities: [...capabilities, "workflow:cross-node-smoke"],
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

/** Where each step would run. */
const placements = (input: { host?: string }, nodes = mesh) =>
  planRun(crossNodeSmoke, { input }).jobs.map((job) => {
    const placement = place(job, nodes);
    return placement.placed ? placement.node : placement.code;
  });

describe("cross-node-smoke", () => {
  test("goes from the hub to pop-os and back", () => {
    expect(placements({})).toEqual(["oracle", "pop-os", "oracle"]);
  });

  test("takes any other node where there is no pop-os", () => {
    expect(placements({}, mesh.slice(0, 2))).toEqual(["oracle", "forge", "oracle"]);
  });

  test("goes where the input says, and nowhere else", () => {
    expect(placements({ host: "forge" })).toEqual(["oracle", "forge", "oracle"]);
    expect(placements({ host: "nowhere" })).toEqual(["oracle", "no_capable_node", "oracle"]);
  });

  const context = {
    input: {},
    signal: new AbortController().signal,
    log: { debug() {}, info() {}, warn() {}, error() {} },
    attempt: 1,
    node: "oracle",
    run: { id: "r" },
    step: "check",
    workflow: "cross-node-smoke",
  };
  const check = (remote: string) =>
    crossNodeSmoke.steps
      .find(({ name }) => name === "check")
      ?.run({
        ...context,
        results: { local: { host: "oracle", startedAt: Date.now() }, remote: { host: remote } },
      });

  test("tells both hosts and the time there and back", async () => {
    expect(await check("pop-os")).toEqual({
      hosts: ["oracle", "pop-os"],
      roundTripMs: expect.any(Number),
    });
  });

  test("fails for good when both steps ran on one host", async () => {
    await expect(check("oracle")).rejects.toMatchObject({ code: "NON_RETRYABLE" });
  });
});
