/** Numbers sequences: equal sequences arrive at equal numbers, different ones at different numbers. */
export interface Interner {
  /** Where a sequence at `from` (0 is the empty one) arrives with one more item. */
  next(from: number, item: number | string): number;
}

export function createInterner(): Interner {
  const branches: Map<number | string, number>[] = [new Map()];
  return {
    next(from, item) {
      const branch = branches[from] as Map<number | string, number>;
      const known = branch.get(item);
      if (known !== undefined) return known;
      const id = branches.push(new Map()) - 1;
      branch.set(item, id);
      return id;
    },
  };
}
