import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createCrowd, TELL_MS } from "./crowd.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const pulse = (seq: number, endsAt = 600) => ({ seq, endsAt });

test("the oldest gives way, and how many did is told every second until none does", () => {
  const told: number[] = [];
  const crowd = createCrowd<ReturnType<typeof pulse>>({
    limit: 3,
    onMissed: (count) => told.push(count),
  });
  for (let seq = 1; seq <= 5; seq += 1) crowd.add(pulse(seq));
  expect(crowd.at(0).map(({ seq }) => seq)).toEqual([3, 4, 5]);
  vi.advanceTimersByTime(TELL_MS);
  crowd.add(pulse(6));
  vi.advanceTimersByTime(10 * TELL_MS);
  expect(told).toEqual([2, 1, 0]);
});

test("what has been seen makes room", () => {
  const told: number[] = [];
  const crowd = createCrowd<ReturnType<typeof pulse>>({
    limit: 2,
    onMissed: (count) => told.push(count),
  });
  crowd.add(pulse(1));
  crowd.add(pulse(2, 10_600));
  expect(crowd.at(10_001).map(({ seq }) => seq)).toEqual([2]);
  crowd.add(pulse(3, 10_601));
  vi.advanceTimersByTime(TELL_MS);
  expect(told).toEqual([]);
  crowd.clear();
  expect(crowd.at(10_001)).toEqual([]);
});
