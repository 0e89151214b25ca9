import { describe, expect, test } from "vitest";
import type { JobView, NodeView } from "../views.ts";
import { hasCapabilities, hasVersion, isHost, notExcluded } from "./ability-filters.ts";
import {
  belowLimit,
  hasFreeSlot,
  isOnline,
  notDraining,
  notPaused,
} from "./availability-filters.ts";
import type { Filter } from "./rule.ts";

const tower: NodeView = {
  name: "tower",
  capabilities: ["docker", "gpu.vram-gb=24"],
  online: true,
  lastSeenMs: 400,
  status: "active",
  slots: 2,
  busy: 0,
};
const anything: JobView = { requires: [] };

interface Case {
  filter: Filter;
  job?: Partial<JobView>;
  node?: Partial<NodeView>;
}

const check = ({ filter, job, node }: Case) =>
  filter.check({ ...anything, ...job }, { ...tower, ...node });

describe("filters", () => {
  test.for<Case & { title: string }>([
    { title: "is-online keeps a node that is online", filter: isOnline },
    { title: "not-paused keeps an active node", filter: notPaused },
    {
      title: "not-paused leaves draining nodes to their own filter",
      filter: notPaused,
      node: { status: "draining" },
    },
    { title: "not-draining keeps an active node", filter: notDraining },
    {
      title: "not-draining leaves paused nodes to their own filter",
      filter: notDraining,
      node: { status: "paused" },
    },
    { title: "is-host keeps every node for a step without a host", filter: isHost },
    { title: "is-host treats null as no host", filter: isHost, job: { host: null } },
    { title: "is-host keeps the host", filter: isHost, job: { host: "tower" } },
    {
      title: "has-capabilities keeps every node for a step that requires nothing",
      filter: hasCapabilities,
    },
    {
      title: "has-capabilities keeps a node that offers all",
      filter: hasCapabilities,
      job: { requires: ["gpu.vram-gb=24", "docker"] },
    },
    {
      title: "has-capabilities knows that a node is itself",
      filter: hasCapabilities,
      job: { requires: ["node=tower"] },
    },
    {
      title: "has-capabilities leaves the workflow's version to its own filter",
      filter: hasCapabilities,
      job: { requires: ["workflow:deploy@bbb"] },
    },
    {
      title: "has-version keeps a node with the workflow's version",
      filter: hasVersion,
      job: { requires: ["workflow:deploy@bbb", "has-gpu"] },
      node: { capabilities: ["workflow:deploy", "workflow:deploy@bbb"] },
    },
    {
      title: "has-version keeps a node that accepts code and has the native modules",
      filter: hasVersion,
      job: { requires: ["workflow:deploy@bbb", "code.module=native-db"] },
      node: { capabilities: ["code", "code.module=native-db", "workflow:deploy@aaa"] },
    },
    {
      title: "has-version accepts any version if the job does",
      filter: hasVersion,
      job: { requires: ["workflow:deploy"] },
      node: { capabilities: ["workflow:deploy", "workflow:deploy@bbb"] },
    },
    {
      title: "not-excluded keeps a node that may be tried again",
      filter: notExcluded,
      job: {
        declinedBy: ["tower", "nas", "tower", "tower"],
        crashedOn: ["tower", "nas", "nas"],
        excluded: ["nas"],
      },
    },
    {
      title: "below-limit keeps a job whose key is not full",
      filter: belowLimit,
      job: { concurrency: { key: "api", limit: 2, running: 1 } },
    },
    {
      title: "below-limit treats null as no limit",
      filter: belowLimit,
      job: { concurrency: null },
    },
    {
      title: "has-free-slot keeps a node with one slot left",
      filter: hasFreeSlot,
      node: { busy: 1 },
    },
  ])("$title", (fitting) => {
    expect(check(fitting)).toEqual([]);
  });

  test.for<Case & { title: string; no: object }>([
    {
      title: "is-online reports when the node was last seen",
      filter: isOnline,
      node: { online: false, lastSeenMs: 200_000 },
      no: { code: "offline", reason: "is offline (last seen 3 min ago)" },
    },
    {
      title: "is-online reports that a node was never seen",
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
      job: { host: "popos" },
      no: { code: "wrong_host", reason: "is not popos, which the step is pinned to" },
    },
    {
      title: "has-capabilities names what is missing, in the order of the step",
      filter: hasCapabilities,
      job: { requires: ["kvm", "docker", "avx"] },
      no: [
        { code: "missing_capability", reason: "lacks kvm", clause: "kvm", seen: [] },
        { code: "missing_capability", reason: "lacks avx", clause: "avx", seen: [] },
      ],
    },
    {
      title: "has-capabilities reports what a node has instead",
      filter: hasCapabilities,
      job: { requires: ["gpu.vram-gb>=48"] },
      no: {
        code: "missing_capability",
        reason: "has gpu.vram-gb=24 where gpu.vram-gb>=48 is required",
        clause: "gpu.vram-gb>=48",
        seen: ["gpu.vram-gb=24"],
      },
    },
    {
      title: "has-capabilities reports what a node should not have",
      filter: hasCapabilities,
      job: { requires: ["!docker"] },
      no: {
        code: "missing_capability",
        reason: "has docker where !docker is required",
        clause: "!docker",
        seen: ["docker"],
      },
    },
    {
      title: "has-capabilities knows that a node is not another",
      filter: hasCapabilities,
      job: { requires: ["node=popos"] },
      no: {
        code: "missing_capability",
        reason: "has node=tower where node=popos is required",
        clause: "node=popos",
        seen: ["node=tower"],
      },
    },
    {
      title: "has-capabilities refuses an invalid clause, even if a node offers the same text",
      filter: hasCapabilities,
      job: { requires: ["has gpu"] },
      node: { capabilities: ["has gpu"] },
      no: { code: "invalid_clause", reason: 'cannot evaluate "has gpu"', clause: "has gpu" },
    },
    {
      title: "has-version reports which version a node has",
      filter: hasVersion,
      job: { requires: ["workflow:deploy@bbb"] },
      node: { capabilities: ["workflow:deploy", "workflow:deploy@aaa", "workflow:backup@bbb"] },
      no: {
        code: "version",
        reason: "has version aaa of workflow deploy, not bbb, and accepts none",
        clause: "workflow:deploy@bbb",
        seen: ["aaa"],
      },
    },
    {
      title: "has-version reports that a node has no code at all",
      filter: hasVersion,
      job: { requires: ["workflow:deploy@bbb"] },
      no: {
        code: "version",
        reason: "does not have the code of workflow deploy, and accepts none",
        clause: "workflow:deploy@bbb",
        seen: [],
      },
    },
    {
      title: "has-version tells which native module a node lacks that accepts code",
      filter: hasVersion,
      job: { requires: ["code.module=native-db", "workflow:deploy@bbb"] },
      node: { capabilities: ["code", "code.module=other-db"] },
      no: {
        code: "version",
        reason: "lacks the native module native-db",
        clause: "code.module=native-db",
        seen: [],
      },
    },
    {
      title: "not-excluded refuses a node that declined three times",
      filter: notExcluded,
      job: { declinedBy: ["tower", "nas", "tower", "tower"], excluded: ["tower"] },
      no: { code: "excluded", reason: "declined it 3 times" },
    },
    {
      title: "not-excluded refuses a node that was lost twice",
      filter: notExcluded,
      job: { crashedOn: ["tower", "tower"], excluded: ["tower"] },
      no: { code: "excluded", reason: "was lost 2 times while running it" },
    },
    {
      title: "below-limit refuses a key that is full",
      filter: belowLimit,
      job: { concurrency: { key: "api", limit: 2, running: 2 } },
      no: {
        code: "concurrency_limit",
        reason: "may not run a further job of api (2/2 run)",
      },
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
    expect(check(refused)).toEqual([no].flat());
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
    expect(check({ filter: isOnline, node: { online: false, lastSeenMs } })).toMatchObject([
      { reason: `is offline (last seen ${age} ago)` },
    ]);
  });
});
