import type { Queue } from "@loom/queue";
import type { Peer, WhoIs } from "@loom/tailscale-resolver";
import type { Log } from "@loom/worker";
import type { NodeArchives } from "./node-archives.ts";

/** This machine as the tailnet knows it. */
export type OwnMachine = Pick<Peer, "addresses" | "fqdn">;

/** The agent's program, as a machine gets it. */
export interface AgentArchive {
  version: string;
  /** SHA-256 of the archive, in hex. */
  digest: string;
  /** A later archive has a higher number. */
  sequence: number;
  /** The hub's signature over kind, version, digest and sequence. */
  signature: string;
  archive: Buffer;
}

/** The parts of a hub that let machines join. */
export interface JoinContext {
  /** The database's API, as the hub reaches it. */
  readonly databaseUrl: string;
  /** Identifies the project to the database's API; undefined: no machine can join. */
  readonly publishableKey: string | undefined;
  /** Users and tags of the tailnet whose machines join without a token. */
  readonly tailnetJoin: readonly string[];
  /** This machine in the tailnet. Rejects while Tailscale does not say. */
  readonly self: () => Promise<OwnMachine>;
  /** Tells who is at the other end of a connection. Rejects when Tailscale cannot tell. */
  readonly whois: (remote: { address: string; port: number }) => Promise<WhoIs>;
  /** The hub's address for machines of the tailnet; undefined where it does not listen there. */
  readonly tailnetUrl: () => Promise<string | undefined>;
  /** The public half of the key that signs code; null: agents of this hub take no code. */
  readonly codeKey: string | null;
  /** Packs the agent's program the first time that a machine needs it; undefined: this hub has none. */
  readonly agent: (() => Promise<AgentArchive>) | undefined;
  /** Node itself, for machines that have none. */
  readonly node: NodeArchives | undefined;
}

/** The parts of a hub that the routes here use. */
export interface JoinHub {
  readonly queue: Queue;
  readonly join: JoinContext;
  readonly log: Log;
  /** Id of the database, which a machine compares when it joins again. */
  readonly databaseId: () => Promise<string>;
  /** Counts the machines that asked to join. */
  readonly metrics: { readonly joins: { inc(labels: { result: string }): void } };
  /** Aborts when the hub stops. */
  readonly stopping: AbortSignal;
  /** Called when there may be a job to place, or to claim by the nodes that jobs are pinned to. */
  readonly onJobsAdded: (pinnedTo?: readonly string[]) => void;
  /** Called when these nodes have new orders. */
  readonly onOrders: (nodes?: readonly string[]) => void;
}

/** A hub to which no machine can join. */
export const NO_JOIN: JoinContext = {
  databaseUrl: "",
  publishableKey: undefined,
  tailnetJoin: [],
  self: noTailscale,
  whois: noTailscale,
  tailnetUrl: async () => undefined,
  codeKey: null,
  agent: undefined,
  node: undefined,
};

async function noTailscale(): Promise<never> {
  throw new Error("this hub does not ask Tailscale");
}
