import { type HubFiles, sweepFiles } from "@loom/files";
import { createWaker, repeat } from "@loom/worker";
import type { HubContext } from "../hub-context.ts";

/** How often to look for files that no run needs. */
const SWEEP_MS = 3_600_000;

/** Removes files that no run needs from this hub's store until the signal aborts. Every hub does it, also one that does not lead. */
export function keepSwept(
  { files, queue, faults, log }: Pick<HubContext, "queue" | "faults" | "log"> & { files: HubFiles },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const waker = createWaker();
  const loopLog = log.child({ loop: "sweep" });
  return repeat(
    {
      round: async () => {
        await faults.isolate({ loop: "sweep", subject: "files" }, () =>
          sweepFiles({ store: files.store, queue, log: loopLog }),
        );
      },
      pause: () => waker.wait(SWEEP_MS, signal),
    },
    { signal, log: loopLog },
  );
}
