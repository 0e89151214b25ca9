import { createBell } from "./bell.ts";

/** Resolves when the signal aborts. */
export const onceAborted = (signal: AbortSignal): Promise<void> =>
  signal.aborted
    ? Promise.resolve()
    : new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));

/** Waits for work that never fails, but not longer than `ms`. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const done = new AbortController();
  void work.finally(() => done.abort());
  await createBell().wait(ms, done.signal);
}
