import { setTimeout as sleep } from "node:timers/promises";
import { ProcessStartError } from "./errors.ts";
import type { ChildProcessHandle } from "./start-process.ts";

const POLL_MS = 15;

/**
 * Waits until a server that was just started answers.
 *
 * @throws ProcessStartError when it ended or `timeoutMs` passed; it is stopped then.
 */
export async function untilReady(
  server: ChildProcessHandle,
  options: { isReady: () => Promise<boolean>; timeoutMs: number },
): Promise<void> {
  let hasEnded = false;
  void server.exited.then(() => {
    hasEnded = true;
  });
  const deadline = performance.now() + options.timeoutMs;
  while (!(await options.isReady())) {
    if (hasEnded || performance.now() > deadline) {
      const { name, log } = await server.stop();
      throw new ProcessStartError(name, log);
    }
    await Promise.race([server.exited, sleep(POLL_MS)]);
  }
}
