import type { Hook, JobSummary, Node, WaitingJob } from "@loom/queue";
import type { Peer } from "@loom/tailscale-resolver";
import { describe, expect, test } from "vitest";
import { examine } from "./examine.ts";
import type { DoctorFacts } from "./facts.ts";

const node = (rest: Partial<Node> = {}): Node => ({
  name: "forge",
  capabilities: [],
  askedCapabilities: [],
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
  upgradeOrder: null,
  tailnetAddress: null,
  wakePort: null,
  boot: null,
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
  item: null,
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

/** A job that forge was lost with twice. */
const lost: WaitingJob = {
  id: 9,
  runId: null,
  workflow: "w",
  step: "s",
  host: null,
  priority: 100,
  requires: ["docker"],
  prefers: [],
  declinedBy: [],
  crashedOn: ["forge", "forge"],
  excluded: ["forge"],
  excludedUntil: new Date("2026-11-30T10:00:00Z"),
  isOpen: false,
  waitingReason: null,
  traceparent: null,
  concurrency: null,
  ranOn: [],
  runInFlight: 0,
  history: [],
};

/** A hook whose last message stands like this. */
const hook = (
  last: Partial<NonNullable<Hook["lastDelivery"]>>,
  rest: Partial<Hook> = {},
): Hook => ({
  name: "phone",
  rules: ["run.failed"],
  workflows: [],
  waitingMs: null,
  target: {},
  enabled: true,
  dropped: 0,
  pending: 1,
  createdBy: "ada",
  createdAt: new Date(0),
  lastDelivery: {
    ...{ id: "d", hook: "phone", rule: "run.failed", subject: "r", facts: null },
    ...{ state: "pending", attempts: 0, nextAt: null, createdAt: new Date() },
    ...{ sentAt: null, status: null, tookMs: null, answer: null, error: null },
    ...last,
  },
  ...rest,
});

const facts = (rest: Partial<DoctorFacts> = {}): DoctorFacts => ({
  workflows: new Map(),
  workflowProblems: [],
  nodes: [node()],
  jobs: [],
  toPlace: [],
  paused: [],
  hooks: [],
  namedHooks: new Map(),
  faults: [],
  retentionDays: 90,
  files: { free: 2 ** 40 },
  database: {
    id: "7d0f6a3e-1df2-4a1c-9a7e-7d3c0f8a2b11",
    now: new Date(),
    serverVersion: "17",
    heldBackMs: null,
    oldestWriter: null,
    migrations: ["0001"],
    aheadMs: 3,
    roundTripMs: 4,
  },
  migrations: ["0001"],
  tailnet: { isKnown: true, self: hub, peers: [peer()] },
  wakes: [{ node: "forge", port: 7_421, wake: { heard: true, ms: 2.4, aheadMs: 1 } }],
  ...rest,
});

const clock = (aheadMs: number, roundTripMs = 4) => ({
  database: { ...facts().database, aheadMs, roundTripMs },
});
/** A node that is so much ahead of the hub, beside a database that is 3 ms ahead. */
const wake = (aheadMs: number | null, ms = 2.4) => ({
  wakes: [{ node: "forge", port: 7_421, wake: { heard: true as const, ms, aheadMs } }],
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
      title: "a workflow file that is not used, with its place",
      given: {
        workflowProblems: [
          { file: "/w/a.ts", line: 3, column: 7, frame: null, message: "Unexpected token" },
        ],
      },
      check: "workflow-files",
      found: { status: "fail", findings: [{ evidence: "/w/a.ts:3:7: Unexpected token" }] },
    },
    {
      title: "a job that only waits because its one capable node is excluded, and until when",
      given: { nodes: [node({ capabilities: ["docker"] }), node({ name: "pi" })], toPlace: [lost] },
      check: "exclusions",
      found: {
        status: "warn",
        findings: [
          {
            subject: "job 9",
            evidence: expect.stringContaining("forge was lost 2 times while running it"),
            fix: expect.stringContaining("2026-11-30T10:00:00.000Z: then forge is tried again"),
          },
        ],
      },
    },
    {
      title: "no job that another node can have, or that none could have anyway",
      given: {
        nodes: [node({ capabilities: ["docker"] }), node({ name: "pi", capabilities: ["docker"] })],
        toPlace: [lost, { ...lost, requires: ["has-gpu"] }],
      },
      check: "exclusions",
      found: { status: "ok" },
    },
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
      title: "an agent whose machine can start no step",
      given: { nodes: [node({ facts: { fault: { reason: "no step can be started here: …" } } })] },
      check: "agents",
      found: {
        status: "fail",
        summary: "forge: its agent claims nothing: no step can be started here: …",
      },
    },
    {
      title: "a silent node that a job without a node waits for: it alone could run it",
      given: {
        nodes: [{ ...silent, capabilities: ["has-gpu"] }, node({ name: "pi" })],
        jobs: [{ ...pending, state: "waiting", targetHost: null, requires: ["has-gpu"] }],
      },
      check: "agents",
      found: {
        status: "fail",
        findings: [{ evidence: expect.stringContaining("1 job waits for it") }],
      },
    },
    {
      title: "a transaction that holds events back, and whose it is",
      given: {
        database: {
          ...facts().database,
          heldBackMs: 240_000,
          oldestWriter: { pid: 4_711, user: "postgres", application: "psql" },
        },
      },
      check: "events",
      found: {
        status: "warn",
        findings: [
          {
            evidence: expect.stringMatching("psql .pid 4711. has been open for 240 s"),
            fix: expect.stringContaining("pg_terminate_backend(4711)"),
          },
        ],
      },
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
      given: { ...clock(-90_000), ...wake(-90_001) },
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
      given: wake(-9_000),
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
      given: { ...clock(90_000), ...wake(90_001) },
      check: "clock",
      found: { status: "fail", findings: [{ subject: "hub" }] },
    },
    {
      title: "a slow wake server, which says little of its machine's clock",
      given: wake(2_300, 700),
      check: "clock",
      found: { status: "ok" },
    },
    {
      title: "no fault in an agent that does not tell its clock",
      given: wake(null),
      check: "clock",
      found: { status: "ok", summary: "hub within 5 ms; not reported by forge" },
    },
    {
      title: "a wake server that nobody hears",
      given: { wakes: [{ node: "forge", port: 7_421, wake: { heard: false, reason: "timeout" } }] },
      check: "wake-servers",
      found: { status: "warn", findings: [{ fix: expect.stringContaining("port 7421 of forge") }] },
    },
    {
      title: "a hook whose message was given up",
      given: { hooks: [hook({ state: "failed", attempts: 8, error: "at http://a.secret/" })] },
      check: "hooks",
      found: {
        status: "warn",
        summary: "phone: its last message (run.failed) was given up after 8 attempts",
        findings: [{ fix: expect.stringContaining("loom hook deliveries phone") }],
      },
    },
    {
      title: "a hook whose message is tried again, and which dropped some",
      given: { hooks: [hook({ attempts: 1, error: "HTTP 500" }, { dropped: 3 })] },
      check: "hooks",
      found: { status: "warn", summary: expect.stringContaining("3 were dropped") },
    },
    {
      title: "a hook that workflows name, and that does not exist",
      given: { hooks: [hook({})], namedHooks: new Map([["phne", ["train", "deploy"]]]) },
      check: "hooks",
      found: {
        status: "warn",
        summary:
          "phne: train, deploy notify this hook, and there is none: nobody gets the messages",
        findings: [{ fix: expect.stringContaining("name phone in notify") }],
      },
    },
    {
      title: "a hook whose messages are not tried",
      given: { hooks: [hook({ createdAt: new Date(Date.now() - 600_000) }, { pending: 7 })] },
      check: "hooks",
      found: { status: "warn", summary: "phone: 7 messages cannot be sent" },
    },
    {
      title: "no fault in a hook that is about to send, has sent, or is disabled",
      given: {
        hooks: [
          hook({}),
          hook({ state: "delivered", attempts: 2 }),
          hook({ state: "failed" }, { enabled: false }),
        ],
      },
      check: "hooks",
      found: { status: "ok", summary: "2 hooks, and the last messages arrived" },
    },
    {
      title: "a store of files that is nearly full",
      given: { files: { free: 2 ** 20 } },
      check: "files",
      found: { status: "warn", summary: expect.stringContaining("room for 1 MiB") },
    },
    {
      title: "a store of files that is full",
      given: { files: { free: 0 } },
      check: "files",
      found: { status: "fail", summary: expect.stringContaining("STORE_FULL") },
    },
    {
      title: "a store of files that cannot be used",
      given: { files: { problem: "EACCES" } },
      check: "files",
      found: { status: "fail", findings: [{ evidence: "EACCES" }] },
    },
    {
      title: "a bucket, which does not say how much room it has",
      given: { files: { free: null } },
      check: "files",
      found: { status: "ok" },
    },
    {
      title: "that the hub keeps no files",
      given: { files: null },
      check: "files",
      found: { status: "skipped" },
    },
  ])("sees $title", ({ given, check, found }) => {
    const { checks } = examine(facts(given));
    expect(checks.find(({ name }) => name === check)).toMatchObject(found);
  });
});

test("says for how long history is kept", () => {
  expect(examine(facts({})).checks.find(({ name }) => name === "retention")).toMatchObject({
    status: "ok",
    summary: "what is finished is kept for 90 days (LOOM_RETENTION)",
  });
});
