import type { Queue } from "@loom/queue";
import type { Log } from "@loom/worker";
import type { FileStore } from "./store.ts";

/** Objects that are removed from one call to the next. */
const AT_ONCE = 100;

/**
 * Removes objects that no run needs from this hub's store. Each hub sweeps its own; any number may sweep one bucket. An object that cannot
 * be removed stays in the database's list, and stops no other.
 *
 * @returns How many objects were removed.
 */
export async function sweepFiles({
  store,
  queue,
  log,
}: {
  store: FileStore;
  queue: Pick<Queue, "takeUnusedFiles" | "forgetFiles">;
  log: Log;
}): Promise<number> {
  let removed = 0;
  for (;;) {
    const ids = await queue.takeUnusedFiles(store.id, { limit: AT_ONCE });
    const gone: string[] = [];
    for (const id of ids) {
      try {
        await store.remove(id);
        gone.push(id);
      } catch (error) {
        log.warn({ file: id, err: error }, "a file could not be removed from the store");
      }
    }
    if (gone.length > 0) await queue.forgetFiles(gone);
    removed += gone.length;
    if (gone.length < AT_ONCE) break;
  }
  if (removed > 0) log.info({ removed }, "files were removed");
  return removed;
}
