import type { NodeDoorbell } from "@loom/queue";
import type { Resolver } from "@loom/tailscale-resolver";
import { type BellRoute, type Log, type Ringer, ringDoorbell } from "@loom/worker";
import { isLoopback } from "./loopback.ts";

/** A node that may have a doorbell. */
export type Rung = Pick<NodeDoorbell, "name" | "tailnetAddress"> & { doorbellPort: number | null };

/** Rings nodes. */
export interface Doorbells {
  ring(node: Rung): void;
  /** Rings a node where it was rung last; who has not been rung yet, or has moved, does not hear it. */
  ringAgain(name: string): void;
  /** Rings a node once and waits for its answer, up to a second: for who wants to know whether it hears. */
  tryRing(node: Rung): Promise<RingTry>;
}

/** What came of a ring that was waited for. */
export type RingTry =
  | {
      heard: true;
      /** Until the answer was there. */
      ms: number;
      /** What the node's clock is ahead of this machine's, known within half of `ms`; null where it does not tell. */
      aheadMs: number | null;
    }
  | { heard: false; reason: string };

/**
 * Rings nodes that have something to claim. Waits for nothing and never fails: who does not
 * hear it looks by itself.
 *
 * An address of the tailnet is rung only when tailscaled says that it is in force and that the
 * kernel leads there, and from this machine's own address in it: otherwise the ring would leave by the
 * default route, to a stranger.
 *
 * @param deps.ringBack - The port of one's own doorbell, as it is now, for `tryRing`; a ringer has its own.
 * @param deps.resolver - Without one, only nodes of this machine are rung.
 */
export function createDoorbells({
  ringer,
  ringBack = () => undefined,
  resolver,
  log,
}: {
  ringer: Ringer;
  ringBack?: (() => number | undefined) | undefined;
  resolver: Resolver | undefined;
  log: Log;
}): Doorbells {
  const known = new Map<string, Rung>();

  async function routeTo(node: Rung): Promise<BellRoute | undefined> {
    const { name, tailnetAddress, doorbellPort: port } = node;
    if (port === null) return undefined;
    if (tailnetAddress !== null && isLoopback(tailnetAddress)) {
      return { address: tailnetAddress, port };
    }
    // A node may be called otherwise than its machine: its own word for the address comes first.
    const found = await resolver?.resolve(tailnetAddress ?? name);
    if (found?.via !== "direct") return undefined;
    return { address: found.ip, port, from: found.localAddress };
  }

  async function ringOne(node: Rung): Promise<void> {
    const bell = await routeTo(node);
    if (bell !== undefined) ringer.ring(bell);
  }

  function ring(node: Rung): void {
    known.set(node.name, node);
    ringOne(node).catch((error: unknown) => {
      log.debug({ node: node.name, err: error }, "node could not be resolved: not rung");
    });
  }

  return {
    ring,
    ringAgain(name) {
      const node = known.get(name);
      if (node) ring(node);
    },
    async tryRing(node) {
      try {
        const bell = await routeTo(node);
        if (bell === undefined) {
          return { heard: false, reason: "the tailnet vouches for no address of it" };
        }
        const startedAt = Date.now();
        const start = performance.now();
        const { clockMs } = await ringDoorbell(bell, { ringBack: ringBack() });
        const ms = performance.now() - start;
        // It is read somewhere on the way: in the middle, within half of the time it took.
        const aheadMs = clockMs === undefined ? null : clockMs - startedAt - ms / 2;
        return { heard: true, ms, aheadMs };
      } catch (error) {
        return { heard: false, reason: error instanceof Error ? error.message : String(error) };
      }
    },
  };
}
