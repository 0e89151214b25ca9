import type { BellRoute } from "./bell-address.ts";
import type { Ringer } from "./create-ringer.ts";

/** Hubs of one mesh that ring an agent: rarely more than one. */
const MAX_BELLS = 4;

/** Those who rang, to be rung in turn. */
export interface RingBack {
  /** Keeps where the one who rang can be rung; the four latest are kept. */
  remember(bell: BellRoute | undefined): void;
  /** Rings all of them. */
  ring(): void;
}

/**
 * Rings back whoever rang. An agent so knows its hubs without being told, also when one has
 * moved: a hub that places something rings first.
 */
export function createRingBack(ringer: Ringer): RingBack {
  const bells = new Map<string, BellRoute>();
  return {
    remember(bell) {
      if (!bell) return;
      const key = `${bell.address}:${bell.port}`;
      bells.delete(key);
      bells.set(key, bell);
      const [oldest] = bells.keys();
      if (bells.size > MAX_BELLS && oldest !== undefined) bells.delete(oldest);
    },
    ring() {
      for (const bell of bells.values()) ringer.ring(bell);
    },
  };
}
