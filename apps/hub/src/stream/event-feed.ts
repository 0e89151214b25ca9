import { isCursorAfter, type Queue, type QueueEvent } from "@loom/queue";
import { createWaker, type Log, sleep } from "@loom/worker";
import { createFaults, type Faults } from "../control/faults.ts";

/** How often to poll for events while somebody listens and nothing wakes the feed. */
const POLL_MS = 500;
/**
 * Reads that a wake-up causes at once: after so many in a row, one each `WOKEN_MS`. What happens now and then is passed
 * on at once, and a busy system is not read once for each thing that happens in it.
 */
const WOKEN_AT_ONCE = 10;
const WOKEN_MS = 40;
/** How long to wait after a failed read. */
const RETRY_MS = 2_000;
const PAGE = 1_000;
/** How many events a listener may be behind before it is dropped. */
const MAX_WAITING = 2_000;
/** How many past events a listener gets before it gets `reset` instead. */
const MAX_PAST = 20_000;

/** A change of a listener's position that is no event. */
type Turn = "reset" | "now";

export type Matches = (event: QueueEvent) => boolean;

/** One listener's events. */
export interface Subscription {
  /** The cursor where it begins: the listener gets every event after it. */
  position: string;
  /**
   * The next events, as soon as there are any. The list is empty after `ms` without events, and when the signal
   * aborts. `reset` means that too much happened since the listener's cursor: it must read the state again and
   * continues from here. `now` means that the requested past is complete, and the following events are new.
   */
  next(ms: number): Promise<QueueEvent[] | Turn>;
}

/**
 * Passes events on to any number of listeners. One loop reads the table of events for all of them, and only
 * while there are listeners.
 */
export interface EventFeed {
  /**
   * @param options.after - The listener's last cursor; without it, it begins now.
   * @param options.pastMs - How far back a listener without a cursor begins. Above 0, it gets `now` at the end of the past.
   * @param options.onLost - Called when the listener is too slow. It gets nothing more.
   * @param options.signal - Ends the subscription.
   */
  subscribe(options: {
    after?: string | undefined;
    pastMs?: number;
    matches: Matches;
    onLost: () => void;
    signal: AbortSignal;
  }): Promise<Subscription>;
  /** Polls at once: something was just written. */
  wake(): void;
  /** The number of listeners. */
  readonly size: number;
}

interface Listener {
  matches: Matches;
  onLost: () => void;
  waiting: QueueEvent[];
  wake: () => void;
}

export function createEventFeed({
  queue,
  log,
  faults = createFaults({ log }),
}: {
  queue: Queue;
  log: Log;
  faults?: Faults;
}): EventFeed {
  const listeners = new Set<Listener>();
  const waker = createWaker();
  /** The cursor that all listeners have reached; undefined while nobody listens. */
  let position: string | undefined;
  let beginning: Promise<string> | undefined;

  async function begin(): Promise<string> {
    const { cursor } = await queue.readEvents({ after: "now" });
    position = cursor ?? "0.0";
    void readOn();
    return position;
  }

  /** Starts the loop once for all listeners. A failed start is tried again for the next listener. */
  function begun(): Promise<string> {
    beginning ??= begin().catch((error: unknown) => {
      beginning = undefined;
      throw error;
    });
    return beginning;
  }

  async function readOn(): Promise<void> {
    const stop = new AbortController();
    let credit = WOKEN_AT_ONCE;
    let readAt = performance.now();
    while (listeners.size > 0) {
      const at = performance.now();
      credit = Math.max(0, Math.min(WOKEN_AT_ONCE, credit + (at - readAt) / WOKEN_MS) - 1);
      readAt = at;
      let pauseMs = POLL_MS;
      try {
        const page = await queue.readEvents({ after: position ?? "now", limit: PAGE });
        position = page.cursor ?? position;
        for (const listener of listeners) {
          try {
            tell(listener, page.events);
          } catch (error) {
            // It has missed events: it is dropped and has to subscribe again.
            listeners.delete(listener);
            listener.onLost();
            faults.note({ loop: "events", subject: "a listener" }, error);
          }
        }
        if (page.events.length === PAGE) pauseMs = 0;
      } catch (error) {
        log.warn({ err: error }, "events cannot be read");
        pauseMs = RETRY_MS;
      }
      if (pauseMs === 0) continue;
      if (credit < 1) await sleep((1 - credit) * WOKEN_MS, { signal: stop.signal });
      await waker.wait(pauseMs, stop.signal);
    }
    position = undefined;
    beginning = undefined;
  }

  function tell(listener: Listener, events: readonly QueueEvent[]): void {
    const wanted = events.filter(listener.matches);
    if (wanted.length === 0) return;
    if (listener.waiting.length + wanted.length > MAX_WAITING) {
      listener.waiting = [];
      listeners.delete(listener);
      listener.onLost();
    } else {
      listener.waiting.push(...wanted);
      listener.wake();
    }
  }

  return {
    wake: () => waker.wake(),

    get size() {
      return listeners.size;
    },

    async subscribe({ after, pastMs = 0, matches, onLost, signal }) {
      const listener: Listener = { matches, onLost, waiting: [], wake: () => {} };
      listeners.add(listener);
      const close = () => {
        listeners.delete(listener);
        listener.wake();
      };
      signal.addEventListener("abort", close, { once: true });
      let start: string;
      let past: AsyncGenerator<QueueEvent[] | "reset", undefined> | undefined;
      try {
        const began = await begun();
        start = position ?? began;
        // Events that arrived meanwhile lie before its start.
        listener.waiting = [];
        if (after !== undefined) past = resume(queue, { after, until: start });
        else if (pastMs > 0) {
          const limit = MAX_PAST;
          past = readPast(queue, {
            after: await queue.findEventCursor(pastMs, { limit }),
            until: start,
          });
        }
      } catch (error) {
        close();
        throw error;
      }
      // It may have aborted while the loop started.
      if (signal.aborted) close();
      let isPastComplete = pastMs === 0;

      return {
        position: start,
        async next(ms) {
          for (let page = await past?.next(); page && !page.done; page = await past?.next()) {
            if (typeof page.value === "string") return page.value;
            const events = page.value.filter(matches);
            if (events.length > 0) return events;
          }
          if (!isPastComplete) {
            isPastComplete = true;
            return "now";
          }
          if (listener.waiting.length === 0 && !signal.aborted) await waitFor(listener, ms);
          const events = listener.waiting;
          listener.waiting = [];
          return events;
        },
      };
    },
  };
}

/** Resolves when the listener has events or is closed, and after `ms` at the latest. */
function waitFor(listener: Listener, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    listener.wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

interface Range {
  after: string;
  until: string;
}

/** The events after a listener's cursor, page by page. */
async function* resume(
  queue: Queue,
  range: Range,
): AsyncGenerator<QueueEvent[] | "reset", undefined> {
  const [oldest] = (await queue.readEvents({ limit: 1 })).events;
  // Its cursor is already pruned, and events after it may be too. Or the cursor is of another database, or of
  // this one before it was restored. Another hub may have sent more events than this one has read so far.
  const isRemoved = oldest && isCursorAfter(oldest.cursor, range.after);
  if (
    isRemoved ||
    (isCursorAfter(range.after, range.until) && (await isAhead(queue, range.after)))
  ) {
    yield "reset";
  } else yield* readPast(queue, range);
}

async function isAhead(queue: Queue, place: string): Promise<boolean> {
  const { cursor } = await queue.readEvents({ after: "now" });
  return isCursorAfter(place, cursor ?? "0.0");
}

/** The events between two cursors, page by page. */
async function* readPast(
  queue: Queue,
  { after, until }: Range,
): AsyncGenerator<QueueEvent[] | "reset", undefined> {
  let place = after;
  for (let read = 0; isCursorAfter(until, place); read += PAGE) {
    // One page more, because only the next read shows whether the last page was the end.
    if (read > MAX_PAST) {
      yield "reset";
      return;
    }
    const { events } = await queue.readEvents({ after: place, limit: PAGE });
    const last = events.at(-1);
    if (!last) return;
    yield events.filter(({ cursor }) => !isCursorAfter(cursor, until));
    place = last.cursor;
  }
}
