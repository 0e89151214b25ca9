import { describe, expect, test } from "vitest";
import { createLeaseClock } from "./session.ts";

/** A clock whose two sources a test moves. */
function clocks() {
  const at = { wall: 1_000_000, monotonic: 500 };
  const clock = createLeaseClock({
    leaseMs: 45_000,
    wall: () => at.wall,
    monotonic: () => at.monotonic,
  });
  return { at, clock };
}

describe("createLeaseClock", () => {
  test.for([
    { title: "both clocks go on", wall: 44_999, monotonic: 44_999, isDoubtful: false },
    { title: "the lease is over", wall: 45_000, monotonic: 45_000, isDoubtful: true },
    // CLOCK_MONOTONIC stands still while a Linux machine is suspended.
    { title: "the machine slept", wall: 45_000, monotonic: 10, isDoubtful: true },
    { title: "the wall clock was set back", wall: -3_600_000, monotonic: 45_000, isDoubtful: true },
    { title: "it was set back a moment ago", wall: -3_600_000, monotonic: 10, isDoubtful: false },
  ])("$title: doubtful $isDoubtful", ({ wall, monotonic, isDoubtful }) => {
    const { at, clock } = clocks();
    clock.confirm(clock.now());
    at.wall += wall;
    at.monotonic += monotonic;
    expect(clock.isDoubtful()).toBe(isDoubtful);
    clock.confirm(clock.now());
    expect(clock.isDoubtful()).toBe(false);
  });

  test("does not doubt a session before the first answer", () => {
    const { at, clock } = clocks();
    at.wall += 1e9;
    expect(clock.isDoubtful()).toBe(false);
  });

  test("counts from when the question was asked, not from when it was answered", () => {
    const { at, clock } = clocks();
    const asked = clock.now();
    at.monotonic += 40_000;
    clock.confirm(asked);
    at.monotonic += 5_000;
    expect(clock.isDoubtful()).toBe(true);
  });
});
