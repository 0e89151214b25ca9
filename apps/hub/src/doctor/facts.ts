import type { DatabaseFacts, JobSummary, Node, PausedWorkflow } from "@loom/queue";
import type { Peer } from "@loom/tailscale-resolver";
import type { RingTry } from "../ring-doorbells.ts";

/** What the hub knows when somebody asks why a step stays where it is. */
export interface DoctorFacts {
  /** Versions of the workflows that the hub has, by name. */
  readonly workflows: ReadonlyMap<string, string>;
  readonly nodes: readonly Node[];
  /** The newest jobs that have no node, or that a node has not claimed. */
  readonly jobs: readonly JobSummary[];
  /** Ids of those that the next round of placing looks at. */
  readonly placeable: ReadonlySet<number>;
  readonly paused: readonly PausedWorkflow[];
  readonly database: DatabaseFacts & {
    /** What its clock is ahead of the hub's, in milliseconds; known within `roundTripMs` / 2. */
    readonly aheadMs: number;
    readonly roundTripMs: number;
  };
  /** Names of the migrations that the hub's code comes with. */
  readonly migrations: readonly string[];
  readonly tailnet: Tailnet;
  /** What came of ringing the nodes that have a doorbell; null where this hub rings none. */
  readonly rings:
    | readonly { readonly node: string; readonly port: number; readonly ring: RingTry }[]
    | null;
}

/** The other machines and this one, or why they cannot be known. */
export type Tailnet =
  | { readonly isKnown: true; readonly self: Peer; readonly peers: readonly Peer[] }
  | { readonly isKnown: false; readonly reason: string };

/** The jobs that wait for a node to claim them. */
export const pendingFor = ({ jobs }: Pick<DoctorFacts, "jobs">, node: string): JobSummary[] =>
  jobs.filter(({ state, targetHost }) => state === "pending" && targetHost === node);

/** A node's machine in the tailnet: by the address that its agent says, else by its name. */
export function peerOf(
  { name, tailnetAddress }: Pick<Node, "name" | "tailnetAddress">,
  tailnet: Extract<Tailnet, { isKnown: true }>,
): Peer | undefined {
  const machines = [tailnet.self, ...tailnet.peers];
  return (
    machines.find(
      ({ addresses }) => tailnetAddress !== null && addresses.includes(tailnetAddress),
    ) ?? machines.find((peer) => peer.name === name)
  );
}
