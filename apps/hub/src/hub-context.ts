import type { SigningKey } from "@loom/code";
import type { HubFiles } from "@loom/files";
import {
  createTokenMemory,
  type RateLimit,
  type TailnetAccess,
  type TokenMemory,
} from "@loom/http";
import { type JoinContext, NO_JOIN } from "@loom/join";
import type { Queue } from "@loom/queue";
import { type Log, type Planner, type Tracing, untraced } from "@loom/worker";
import { createTokenProof, type TokenProof } from "./code/token-proof.ts";
import { createFaults, type Faults } from "./control/faults.ts";
import type { NodeWaker } from "./control/node-waker.ts";
import { createSeal, type Seal } from "./hooks/seal.ts";
import type { TailnetClient } from "./listen/tailnet-client.ts";
import { createMetrics, type Metrics } from "./metrics/metrics.ts";
import { createEventFeed, type EventFeed } from "./stream/event-feed.ts";

/** Everything that the parts of one hub share: its routes, its guard and its loops. */
export interface HubContext {
  readonly queue: Queue;
  /** Knows the workflows, and runs their code. */
  readonly planner: Planner;
  readonly log: Log;
  /**
   * The bootstrap token, which may do everything. Undefined lets in requests that name a loopback host: only for a
   * hub that listens on a loopback address.
   */
  readonly token: string | undefined;
  /** Host names that the hub answers to, besides `localhost` and any address. More may be added while it runs. */
  readonly hosts: readonly string[];
  /** Lets the tailnet's people and machines in without a token. */
  readonly tailnet: TailnetAccess | undefined;
  /** Limit of one credential; default 100 requests a second, and 600 at once. */
  readonly rateLimit: RateLimit | undefined;
  /** Streams that may be open at once; default 1000. */
  readonly maxStreams: number;
  /** Streams of one token, person or machine, so that none can take them all; default 100. */
  readonly maxStreamsEach: number;
  /** The folder of the built dashboard, served at `/`; undefined serves none. */
  readonly dashboard: string | undefined;

  /** For how many days finished runs and jobs, events and logs are kept; default 30. */
  readonly retentionDays: number;
  /** The name of the hub's own node, if it has one. */
  readonly node: string | undefined;
  /** The node that is preferred for steps that neither require nor prefer anything. */
  readonly defaultHost: string | undefined;
  /** The tailnet that the hub is in. Undefined: the API knows no connections between machines. */
  readonly tailnetClient: TailnetClient | undefined;
  /** Wakes a node and waits for its answer; undefined wakes none. */
  readonly tryWake: NodeWaker["tryWake"] | undefined;

  /** Keeps the secrets of hooks. By default, only this process can open them. */
  readonly seal: Seal;
  /** The key that signs commands; undefined: this hub starts none. */
  readonly signingKey: SigningKey | undefined;
  /** How machines join, and reach the database through this hub. */
  readonly join: JoinContext;
  /** Keeps the files of runs; undefined: this hub keeps none. */
  readonly files: HubFiles | undefined;

  readonly feed: EventFeed;
  /** The tokens that the database has confirmed lately. */
  readonly tokens: TokenMemory;
  /** Proves that this hub made a token. */
  readonly tokenProof: TokenProof;
  /** Id of the database. It tells this hub's cookies from those of other hubs with the same host name. */
  readonly databaseId: () => Promise<string>;
  /** Faults that the hub's loops survived. */
  readonly faults: Faults;
  readonly metrics: Metrics;
  readonly tracing: Tracing;
  /** Aborts when the hub stops. */
  readonly stopping: AbortSignal;

  /** Called when there may be a job to place, or to claim by the nodes that jobs are pinned to. */
  readonly onJobsAdded: (pinnedTo?: readonly string[]) => void;
  /** Called when nodes have new orders: these nodes, and those that run a job to be cancelled. */
  readonly onOrders: (nodes?: readonly string[]) => void;
  /** Called when a message of a hook is due. */
  readonly onDeliveries: () => void;
}

type Required = "queue" | "planner" | "log" | "token";

/** The parts of a context that its maker chooses; the others have defaults. */
export type HubParts = Pick<HubContext, Required> & Partial<Omit<HubContext, Required>>;

/** Completes a context. */
export function createHubContext(parts: HubParts): HubContext {
  const { queue, log, faults = createFaults({ log }) } = parts;
  const { feed = createEventFeed({ queue, log, faults }) } = parts;
  return {
    hosts: [],
    tailnet: undefined,
    rateLimit: undefined,
    maxStreams: 1_000,
    maxStreamsEach: 100,
    dashboard: undefined,
    retentionDays: 30,
    node: undefined,
    defaultHost: undefined,
    tailnetClient: undefined,
    tryWake: undefined,
    signingKey: undefined,
    join: NO_JOIN,
    files: undefined,
    seal: createSeal(),
    tokenProof: createTokenProof(parts.signingKey?.privateKey),
    onDeliveries: () => {},
    tokens: createTokenMemory((digest) => queue.findToken(digest)),
    databaseId: once(async () => (await queue.describeDatabase()).id),
    metrics: createMetrics(),
    tracing: untraced,
    stopping: new AbortController().signal,
    ...parts,
    faults,
    feed,
    onJobsAdded(pinnedTo) {
      feed.wake();
      parts.onJobsAdded?.(pinnedTo);
    },
    onOrders(nodes) {
      feed.wake();
      parts.onOrders?.(nodes);
    },
  };
}

/** Calls a function until it succeeds once, and remembers that answer. */
function once<Answer>(call: () => Promise<Answer>): () => Promise<Answer> {
  let called: Promise<Answer> | undefined;
  return () => {
    called ??= call().catch((error: unknown) => {
      called = undefined;
      throw error;
    });
    return called;
  };
}
