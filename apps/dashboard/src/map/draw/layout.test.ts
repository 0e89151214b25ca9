import fc from "fast-check";
import { expect, test } from "vitest";
import { layOut } from "./layout.ts";

const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 8 }), {
  minLength: 1,
  maxLength: 60,
});

test("the same nodes are at the same places, in whatever order they came", () => {
  fc.assert(
    fc.property(names, (given) => {
      const [one, other] = [given, [...given].reverse()].map((order) => layOut(order, 1_000, 560));
      expect(new Map(one?.nodes)).toEqual(new Map(other?.nodes));
    }),
  );
});

test("every node is on the map, and none lies on another or on the waiting area", () => {
  fc.assert(
    fc.property(names, fc.constantFrom(820, 1_000, 1_200), (given, width) => {
      const { nodes, waiting, ring, height } = layOut(given, width, 560);
      const places = [...nodes.values(), waiting];
      for (const [index, { x, y }] of places.entries()) {
        expect(x).toBeGreaterThanOrEqual(ring);
        expect(x).toBeLessThanOrEqual(width - ring);
        expect(y).toBeGreaterThanOrEqual(ring);
        expect(y).toBeLessThanOrEqual(height - ring);
        for (const other of places.slice(index + 1)) {
          expect(Math.hypot(x - other.x, y - other.y)).toBeGreaterThan(ring);
        }
      }
    }),
  );
});
