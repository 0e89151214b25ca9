import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { createPulseQueue, REPORT_MS } from "./pulse-queue.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const pulse = (seq: number, endsAt = 600) => ({ seq, endsAt });

test("at the limit the oldest pulse is dropped, and the number of dropped ones is reported every second until it is 0", () => {
  const reported: number[] = [];
  const queue = createPulseQueue<ReturnType<typeof pulse>>({
    limit: 3,
    onOverflow: (count) => reported.push(count),
  });
  for (let seq = 1; seq <= 5; seq += 1) queue.add(pulse(seq));
  expect(queue.at(0).map(({ seq }) => seq)).toEqual([3, 4, 5]);
  vi.advanceTimersByTime(REPORT_MS);
  queue.add(pulse(6));
  vi.advanceTimersByTime(10 * REPORT_MS);
  expect(reported).toEqual([2, 1, 0]);
});

test("a pulse that has ended makes room", () => {
  const reported: number[] = [];
  const queue = createPulseQueue<ReturnType<typeof pulse>>({
    limit: 2,
    onOverflow: (count) => reported.push(count),
  });
  queue.add(pulse(1));
  queue.add(pulse(2, 10_600));
  expect(queue.at(10_001).map(({ seq }) => seq)).toEqual([2]);
  queue.add(pulse(3, 10_601));
  vi.advanceTimersByTime(REPORT_MS);
  expect(reported).toEqual([]);
  queue.clear();
  expect(queue.at(10_001)).toEqual([]);
});
