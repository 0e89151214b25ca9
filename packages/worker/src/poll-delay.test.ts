import { describe, expect, test } from "vitest";
import { pollDelayMs } from "./poll-delay.ts";

describe("pollDelayMs", () => {
  const pace = { pollMs: 5_000, maxPollMs: 10_000 };

  test("begins at the floor, and grows to the ceiling", () => {
    const delays = [0, 1, 2, 3, 10_000].map((inVain) =>
      pollDelayMs(inVain, { ...pace, random: () => 0.5 }),
    );
    expect(delays).toEqual([5_000, 7_500, 10_000, 10_000, 10_000]);
  });

  test("differs by a quarter from node to node", () => {
    const at = (random: number) => pollDelayMs(0, { ...pace, random: () => random });
    expect([at(0), at(1)]).toEqual([3_750, 6_250]);
  });
});
