/** Numbers that follow from a seed: one stream an actor, so that no actor disturbs another's. */
export interface Random {
  /** 0 up to, not including, `end`. */
  below(end: number): number;
  /** True in about `percent` of 100 cases. */
  chance(percent: number): boolean;
  /** One of several; undefined of none. */
  pick<Item>(items: readonly Item[]): Item | undefined;
}

/** mulberry32: small, and good enough to choose with. */
export function seeded(seed: number, stream: number): Random {
  let state = (seed * 1_000_003 + stream * 7_919) | 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (end: number): number => Math.floor(next() * end);
  return {
    below,
    chance: (percent) => below(100) < percent,
    pick: (items) => items[below(items.length)],
  };
}
