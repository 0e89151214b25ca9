import type { WakeTry } from "@loom/explain";
import { isLoopback } from "@loom/http";
import type { NodeWakeAddress } from "@loom/queue";
import type { Resolver } from "@loom/tailscale-resolver";
import { type Log, sendWakeUp, type WakeClient, type WakeRoute } from "@loom/worker";

/** A node that may have a wake server. */
export type WakeTarget = Pick<NodeWakeAddress, "name" | "tailnetAddress" | "boot"> & {
  wakePort: number | null;
};

/** Wakes nodes. */
export interface NodeWaker {
  wake(node: WakeTarget): void;
  /** Wakes a node at its last address. A node that was never woken, or has moved, is not reached. */
  wakeAgain(name: string): void;
  /** Wakes a node and waits up to a second for its answer: to test whether it can be woken. */
  tryWake(node: WakeTarget): Promise<WakeTry>;
}

/**
 * Wakes nodes that have something to claim. It waits for nothing and never fails: a node that is not reached polls.
 *
 * A tailnet address is woken only when tailscaled confirms the address and the kernel's route to it, and from this
 * machine's own tailnet address: otherwise the wake-up would leave by the default route, to a stranger. A loopback
 * address is woken only for a node that reports the boot id of this machine's kernel: otherwise any node could make the
 * hub call local services.
 *
 * @param deps.replyPort - The current port of this process's wake server, for `tryWake`; a wake client has its own.
 * @param deps.boot - The boot id of this machine's kernel; where it is undefined, it matches nodes without one.
 * @param deps.resolver - Without one, only nodes of this machine are woken.
 */
export function createNodeWaker({
  wakeClient,
  replyPort = () => undefined,
  boot = () => undefined,
  resolver,
  log,
}: {
  wakeClient: WakeClient;
  boot?: (() => string | undefined) | undefined;
  replyPort?: (() => number | undefined) | undefined;
  resolver: Resolver | undefined;
  log: Log;
}): NodeWaker {
  const known = new Map<string, WakeTarget>();

  async function routeTo(node: WakeTarget): Promise<WakeRoute | undefined> {
    const { name, tailnetAddress, wakePort: port } = node;
    if (port === null) return undefined;
    if (tailnetAddress !== null && isLoopback(tailnetAddress)) {
      if ((node.boot ?? undefined) !== boot()) return undefined;
      return { address: tailnetAddress, port };
    }
    // A node may have another name than its machine, so the address that it reports comes first.
    const found = await resolver?.resolve(tailnetAddress ?? name);
    if (found?.via !== "direct") return undefined;
    return { address: found.ip, port, from: found.localAddress };
  }

  async function wakeOne(node: WakeTarget): Promise<void> {
    const route = await routeTo(node);
    if (route !== undefined) wakeClient.wake(route);
  }

  function wake(node: WakeTarget): void {
    known.set(node.name, node);
    wakeOne(node).catch((error: unknown) => {
      log.debug({ node: node.name, err: error }, "node could not be resolved: not woken");
    });
  }

  return {
    wake,
    wakeAgain(name) {
      const node = known.get(name);
      if (node) wake(node);
    },
    async tryWake(node) {
      try {
        const route = await routeTo(node);
        if (route === undefined) {
          return { heard: false, reason: "the tailnet confirms no address of it" };
        }
        const startedAt = Date.now();
        const start = performance.now();
        const { clockMs } = await sendWakeUp(route, { replyPort: replyPort() });
        const ms = performance.now() - start;
        // The node's clock was read during the call: at its middle, within half of its duration.
        const aheadMs = clockMs === undefined ? null : clockMs - startedAt - ms / 2;
        return { heard: true, ms, aheadMs };
      } catch (error) {
        return { heard: false, reason: error instanceof Error ? error.message : String(error) };
      }
    },
  };
}
