import type { JobSummary, Node } from "@loom/queue";
import type { Peer } from "@loom/tailscale-resolver";
import { describe, expect, test } from "vitest";
import { examine } from "./examine.ts";
import type { DoctorFacts } from "./facts.ts";

const node = (rest: Partial<Node> = {}): Node => ({
  name: "forge",
  capabilities: [],
  capabilitiesVersion: 1,
  slots: 1,
  running: 0,
  offered: 0,
  status: "active",
  statusNote: null,
  statusUntil: null,
  online: true,
  lastSeenMs: 400,
  epoch: 1,
  incarnation: null,
  agentVersion: null,
  tailnetAddress: null,
  doorbellPort: null,
  facts: {},
  ...rest,
});

const peer = (rest: Partial<Peer> = {}): Peer => ({
  name: "forge",
  id: rest.name ?? "forge",
  fqdn: "forge.example.ts.net",
  hostName: "forge",
  os: "linux",
  ip: "100.64.0.2",
  addresses: ["100.64.0.2"],
  online: true,
  lastSeen: undefined,
  expired: false,
  keyExpiresAt: undefined,
  tags: [],
  owner: undefined,
  path: { kind: "direct", endpoint: "192.0.2.1:41641" },
  relay: undefined,
  self: false,
  ...rest,
});

const hub = peer({ name: "oracle", self: true, ip: "100.64.0.1", addresses: ["100.64.0.1"] });

const pending: JobSummary = {
  id: 7,
  runId: null,
  workflow: "w",
  step: "s",
  key: null,
  state: "pending",
  targetHost: "forge",
  ranOn: null,
  requires: [],
  priority: 100,
  waitingReason: null,
  attempt: 0,
  maxAttempts: 1,
  crashRestarts: 0,
  cancelRequestedAt: null,
  runAt: new Date(0),
  createdAt: new Date(0),
  claimedAt: null,
  finishedAt: null,
};

const facts = (rest: Partial<DoctorFacts> = {}): DoctorFacts => ({
  workflows: new Map(),
  nodes: [node()],
  jobs: [],
  placeable: new Set(),
  paused: [],
  database: {
    now: new Date(),
    serverVersion: "17",
    migrations: ["0001"],
    aheadMs: 3,
    roundTripMs: 4,
  },
  migrations: ["0001"],
  tailnet: { isKnown: true, self: hub, peers: [peer()] },
  rings: [{ node: "forge", port: 7_421, ring: { heard: true, ms: 2.4, aheadMs: 1 } }],
  ...rest,
});

const clock = (aheadMs: number, roundTripMs = 4) => ({
  database: { ...facts().database, aheadMs, roundTripMs },
});
/** A node that is so much ahead of the hub, beside a database that is 3 ms ahead. */
const ring = (aheadMs: number | null, ms = 2.4) => ({
  rings: [{ node: "forge", port: 7_421, ring: { heard: true as const, ms, aheadMs } }],
});
const silent = node({ online: false, lastSeenMs: 300_000 });
const peers = (...machines: Peer[]) => ({
  tailnet: { isKnown: true, self: hub, peers: machines } as const,
});

describe("examine", () => {
  test("finds nothing where all is well", () => {
    const { status, checks } = examine(facts());
    expect(status).toBe("ok");
    expect(checks.filter((check) => check.status !== "ok")).toEqual([]);
    expect(checks.find(({ name }) => name === "tailnet")?.summary).toBe("1 node up: forge direct");
  });

  test.for<{ title: string; given: Partial<DoctorFacts>; check: string; found: object }>([
    {
      title: "a database without nodes",
      given: { nodes: [] },
      check: "agents",
      found: { status: "fail", summary: expect.stringContaining("no agent has ever reported") },
    },
    {
      title: "a silent node that nothing waits for",
      given: { nodes: [silent] },
      check: "agents",
      found: { status: "warn", findings: [{ evidence: expect.stringContaining("5 min ago") }] },
    },
    {
      title: "an agent that is silent while its machine is up",
      given: { nodes: [silent] },
      check: "heartbeats",
      found: { status: "fail", findings: [{ fix: expect.stringContaining("LOOM_NODE_KEY") }] },
    },
    {
      title: "a silent agent whose machine is down",
      given: { nodes: [silent], ...peers(peer({ online: false })), jobs: [pending] },
      check: "tailnet",
      found: { status: "fail", findings: [{ evidence: "the tailnet sees forge offline" }] },
    },
    {
      title: "no heartbeat's fault, when the machine is down",
      given: { nodes: [silent], ...peers(peer({ online: false })) },
      check: "heartbeats",
      found: { status: "ok" },
    },
    {
      title: "a machine whose key has expired",
      given: peers(peer({ expired: true })),
      check: "tailnet",
      found: { status: "fail", findings: [{ evidence: "its key has expired" }] },
    },
    {
      title: "a node whose machine has another name, by its agent's address",
      given: { nodes: [node({ name: "gpu", tailnetAddress: "100.64.0.2" })] },
      check: "tailnet",
      found: { status: "ok", summary: "1 node up: gpu direct" },
    },
    {
      title: "a node that the tailnet does not know",
      given: { nodes: [node({ name: "forg" })] },
      check: "tailnet",
      found: {
        status: "warn",
        findings: [{ evidence: expect.stringContaining("near are forge") }],
      },
    },
    {
      title: "a tailnet that cannot be asked",
      given: { tailnet: { isKnown: false, reason: "no daemon" } },
      check: "tailnet",
      found: { status: "skipped", summary: "no daemon" },
    },
    {
      title: "a node that is draining while a job waits for it",
      given: { nodes: [node({ status: "draining" })], jobs: [pending] },
      check: "pauses",
      found: {
        status: "warn",
        findings: [{ evidence: "the node is draining; 1 job waits for it" }],
      },
    },
    {
      title: "a hub that is older than the database",
      given: { migrations: [] },
      check: "schema",
      found: { status: "warn", findings: [{ subject: "hub", fix: "update the hub" }] },
    },
    {
      title: "a clock that is off",
      given: clock(5_000),
      check: "clock",
      found: { status: "warn" },
    },
    {
      title: "a clock that is far off",
      given: { ...clock(-90_000), ...ring(-90_001) },
      check: "clock",
      found: { status: "fail", findings: [{ evidence: expect.stringContaining("ahead of") }] },
    },
    {
      title: "a slow answer, which says little of a clock",
      given: clock(2_500, 4_000),
      check: "clock",
      found: { status: "ok" },
    },
    {
      title: "a node's clock that is off",
      given: ring(-9_000),
      check: "clock",
      found: {
        status: "warn",
        findings: [
          {
            subject: "forge",
            evidence: "its clock is at least 9.0 s behind the database's",
            fix: expect.stringContaining("of forge by NTP"),
          },
        ],
      },
    },
    {
      title: "that it is the hub's clock that is off, where the nodes' agree with the database's",
      given: { ...clock(90_000), ...ring(90_001) },
      check: "clock",
      found: { status: "fail", findings: [{ subject: "hub" }] },
    },
    {
      title: "a slow bell, which says little of its machine's clock",
      given: ring(2_300, 700),
      check: "clock",
      found: { status: "ok" },
    },
    {
      title: "no fault in an agent that does not tell its clock",
      given: ring(null),
      check: "clock",
      found: { status: "ok", summary: "hub within 5 ms; not told by forge" },
    },
    {
      title: "a doorbell that nobody hears",
      given: { rings: [{ node: "forge", port: 7_421, ring: { heard: false, reason: "timeout" } }] },
      check: "doorbells",
      found: { status: "warn", findings: [{ fix: expect.stringContaining("port 7421 of forge") }] },
    },
  ])("sees $title", ({ given, check, found }) => {
    const { checks } = examine(facts(given));
    expect(checks.find(({ name }) => name === check)).toMatchObject(found);
  });
});
