import { describe, expect, test } from "vitest";
import type { Filter } from "../filter.ts";
import type { NodeView } from "../node-view.ts";
import type { StepView } from "../step-view.ts";
import { hasCapabilities } from "./has-capabilities.ts";
import { hasFreeSlot } from "./has-free-slot.ts";
import { isHost } from "./is-host.ts";
import { isOnline } from "./is-online.ts";
import { notDraining } from "./not-draining.ts";
import { notPaused } from "./not-paused.ts";

const tower: NodeView = {
  name: "tower",
  capabilities: ["docker", "gpu.vram-gb=24"],
  online: true,
  lastSeenMs: 400,
  status: "active",
  slots: 2,
  busy: 0,
};
const anything: StepView = { requires: [] };

interface Case {
  filter: Filter;
  step?: Partial<StepView>;
  node?: Partial<NodeView>;
}

const check = ({ filter, step, node }: Case) =>
  filter.check({ ...anything, ...step }, { ...tower, ...node });

describe("filters", () => {
  test.for<Case & { title: string }>([
    { title: "is-online keeps a node that is online", filter: isOnline },
    { title: "not-paused keeps an active node", filter: notPaused },
    {
      title: "not-paused leaves draining to its own filter",
      filter: notPaused,
      node: { status: "draining" },
    },
    { title: "not-draining keeps an active node", filter: notDraining },
    {
      title: "not-draining leaves paused to its own filter",
      filter: notDraining,
      node: { status: "paused" },
    },
    { title: "is-host keeps every node for a step without a host", filter: isHost },
    { title: "is-host takes null for no host", filter: isHost, step: { host: null } },
    { title: "is-host keeps the host", filter: isHost, step: { host: "tower" } },
    {
      title: "has-capabilities keeps every node for a step that requires nothing",
      filter: hasCapabilities,
    },
    {
      title: "has-capabilities keeps a node that offers all",
      filter: hasCapabilities,
      step: { requires: ["gpu.vram-gb=24", "docker"] },
    },
    {
      title: "has-capabilities knows that a node is itself",
      filter: hasCapabilities,
      step: { requires: ["node=tower"] },
    },
    {
      title: "has-free-slot keeps a node with one slot left",
      filter: hasFreeSlot,
      node: { busy: 1 },
    },
  ])("$title", (fitting) => {
    expect(check(fitting)).toEqual({ fits: true });
  });

  test.for<Case & { title: string; no: object }>([
    {
      title: "is-online says when the node was seen",
      filter: isOnline,
      node: { online: false, lastSeenMs: 200_000 },
      no: { code: "offline", reason: "is offline (last seen 3 min ago)" },
    },
    {
      title: "is-online says that a node was never seen",
      filter: isOnline,
      node: { online: false, lastSeenMs: null },
      no: { code: "offline", reason: "is offline (never seen)" },
    },
    {
      title: "not-paused refuses a paused node",
      filter: notPaused,
      node: { status: "paused" },
      no: { code: "paused", reason: "is paused" },
    },
    {
      title: "not-draining refuses a draining node",
      filter: notDraining,
      node: { status: "draining" },
      no: { code: "draining", reason: "is draining" },
    },
    {
      title: "is-host refuses other nodes",
      filter: isHost,
      step: { host: "popos" },
      no: { code: "wrong_host", reason: "is not popos, which the step is pinned to" },
    },
    {
      title: "has-capabilities names what is missing, in the order of the step",
      filter: hasCapabilities,
      step: { requires: ["kvm", "docker", "avx"] },
      no: { code: "missing_capability", reason: "lacks kvm, avx", missing: ["kvm", "avx"] },
    },
    {
      title: "has-capabilities compares texts as a whole",
      filter: hasCapabilities,
      step: { requires: ["gpu.vram-gb=2"] },
      no: { code: "missing_capability", reason: "lacks gpu.vram-gb=2", missing: ["gpu.vram-gb=2"] },
    },
    {
      title: "has-capabilities knows that a node is no other",
      filter: hasCapabilities,
      step: { requires: ["node=popos"] },
      no: { code: "missing_capability", reason: "lacks node=popos", missing: ["node=popos"] },
    },
    {
      title: "has-free-slot refuses a full node",
      filter: hasFreeSlot,
      node: { busy: 2 },
      no: { code: "full", reason: "is full (2/2 slots)" },
    },
    {
      title: "has-free-slot refuses a node that lost slots under load",
      filter: hasFreeSlot,
      node: { slots: 1, busy: 2 },
      no: { code: "full", reason: "is full (2/1 slots)" },
    },
    {
      title: "has-free-slot refuses a node without slots",
      filter: hasFreeSlot,
      node: { slots: 0 },
      no: { code: "full", reason: "is full (0/0 slots)" },
    },
  ])("$title", ({ no, ...refused }) => {
    expect(check(refused)).toEqual({ fits: false, ...no });
  });

  test.for([
    [0, "0 s"],
    [59_999, "59 s"],
    [60_000, "1 min"],
    [3_599_999, "59 min"],
    [3_600_000, "1 h"],
    [86_400_000, "1 d"],
    [864_000_000, "10 d"],
  ] as const)("is-online writes an age of %i ms as %s", ([lastSeenMs, age]) => {
    expect(check({ filter: isOnline, node: { online: false, lastSeenMs } })).toMatchObject({
      reason: `is offline (last seen ${age} ago)`,
    });
  });
});
