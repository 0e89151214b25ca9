/** A binary heap, which gives quick access to its first item. */
export interface Heap<Item> {
  readonly size: number;
  peek(): Item | undefined;
  push(item: Item): void;
  pop(): Item | undefined;
}

export function createHeap<Item>(isBefore: (a: Item, b: Item) => boolean): Heap<Item> {
  const items: Item[] = [];

  function sink(item: Item): void {
    const half = items.length >> 1;
    let at = 0;
    while (at < half) {
      let below = 2 * at + 1;
      let child = items[below] as Item;
      const right = items[below + 1];
      if (below + 1 < items.length && isBefore(right as Item, child)) {
        below += 1;
        child = right as Item;
      }
      if (!isBefore(child, item)) break;
      items[at] = child;
      at = below;
    }
    items[at] = item;
  }

  return {
    get size() {
      return items.length;
    },
    peek: () => items[0],
    push(item) {
      let at = items.length;
      items.push(item);
      while (at > 0) {
        const above = (at - 1) >> 1;
        const parent = items[above] as Item;
        if (!isBefore(item, parent)) break;
        items[at] = parent;
        at = above;
      }
      items[at] = item;
    },
    pop() {
      const first = items[0];
      const last = items.pop();
      if (items.length > 0) sink(last as Item);
      return first;
    },
  };
}
