import { describe, expect, test, vi } from "vitest";
import { singleFlight } from "./single-flight.ts";

interface Run {
  signal: AbortSignal;
  resolve(value: string): void;
  reject(error: Error): void;
}

function setUp() {
  const runs: Run[] = [];
  const join = singleFlight<string>(
    (signal) => new Promise((resolve, reject) => runs.push({ signal, resolve, reject })),
  );
  return { join, runs };
}

describe("singleFlight", () => {
  test("gives one run's result to all who ask meanwhile, then starts anew", async () => {
    const { join, runs } = setUp();
    const both = Promise.all([join(), join()]);
    runs[0]?.resolve("first");
    expect(await both).toEqual(["first", "first"]);

    const later = join();
    runs[1]?.resolve("second");
    expect(await later).toBe("second");
    expect(runs).toHaveLength(2);
  });

  test("shares a failure, and starts anew after it", async () => {
    const { join, runs } = setUp();
    const both = Promise.allSettled([join(), join()]);
    runs[0]?.reject(new Error("down"));
    expect(await both).toMatchObject([{ status: "rejected" }, { status: "rejected" }]);

    const later = join();
    runs[1]?.resolve("up");
    expect(await later).toBe("up");
  });

  test("lets one caller leave without disturbing the other", async () => {
    const { join, runs } = setUp();
    const impatient = new AbortController();
    const left = join(impatient.signal);
    const stayed = join();
    impatient.abort(new Error("no time"));
    await expect(left).rejects.toThrow("no time");
    expect(runs[0]?.signal.aborted).toBe(false);

    runs[0]?.resolve("done");
    expect(await stayed).toBe("done");
    expect(runs).toHaveLength(1);
  });

  test("calls the run off when the last caller has left, and starts anew for the next", async () => {
    const { join, runs } = setUp();
    const impatient = new AbortController();
    const left = join(impatient.signal);
    impatient.abort();
    await expect(left).rejects.toThrow();
    expect(runs[0]?.signal.aborted).toBe(true);

    const next = join();
    runs[0]?.resolve("too late");
    runs[1]?.resolve("in time");
    expect(await next).toBe("in time");
  });

  test("starts nothing for a caller who has already given up", async () => {
    const task = vi.fn(async () => "never");
    await expect(singleFlight(task)(AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
    expect(task).not.toHaveBeenCalled();
  });
});
