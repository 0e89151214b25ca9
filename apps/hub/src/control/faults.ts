import type { Fault } from "@loom/explain";
import { QueueAccessError, QueueSchemaError, QueueUnavailableError } from "@loom/queue";
import type { Log } from "@loom/worker";
import { LRUCache } from "lru-cache";

/**
 * Isolates a failure of one item from the other items and from the process, and remembers it. The doctor and
 * `/metrics` report faults; the log has each one once.
 */
export interface Faults {
  /**
   * Runs `work` for one item.
   *
   * @returns undefined when it failed.
   * @throws Errors that make all work impossible: the database is unavailable, refuses the key, or has another schema.
   */
  isolate<Result>(
    item: { loop: string; subject: string },
    work: () => Result | Promise<Result>,
  ): Promise<Result | undefined>;
  /** Notes a failure of an item. It throws the errors that `isolate` throws. */
  note(item: { loop: string; subject: string }, error: unknown): void;
  /** The faults of the last ten minutes, newest first. */
  recent(): Fault[];
}

const RECENT_MS = 600_000;
/** How many items are remembered, so that a loop over ten thousand bad ones fills no memory. */
const MAX_FAULTS = 200;

export function createFaults({
  log,
  onFault = () => {},
  now = Date.now,
}: {
  log: Log;
  /** Called with each fault, repeated ones included. */
  onFault?: (fault: { loop: string }) => void;
  /** The wall clock, in milliseconds. */
  now?: () => number;
}): Faults {
  const known = new LRUCache<string, Fault>({ max: MAX_FAULTS });

  function note({ loop, subject }: { loop: string; subject: string }, error: unknown): void {
    if (isForAll(error)) throw error;
    const message = error instanceof Error ? error.message : String(error);
    const key = `${loop} ${subject}`;
    const before = known.get(key);
    const at = new Date(now());
    const isSame = before?.message === message;
    if (!isSame) log.error({ loop, subject, err: error }, "an item failed; the others continue");
    known.set(key, {
      loop,
      subject,
      message,
      count: isSame ? before.count + 1 : 1,
      firstAt: isSame ? before.firstAt : at,
      lastAt: at,
    });
    onFault({ loop });
  }

  return {
    note,
    async isolate(item, work) {
      try {
        return await work();
      } catch (error) {
        note(item, error);
        return undefined;
      }
    },
    recent() {
      const since = now() - RECENT_MS;
      // The cache lists the newest first.
      return [...known.values()].filter(({ lastAt }) => lastAt.getTime() >= since);
    },
  };
}

/** Whether an error affects every item. */
const isForAll = (error: unknown): boolean =>
  error instanceof QueueUnavailableError ||
  error instanceof QueueAccessError ||
  error instanceof QueueSchemaError;
