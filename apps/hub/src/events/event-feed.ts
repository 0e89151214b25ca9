import type { Queue, QueueEvent } from "@loom/queue";
import { createBell, type Log } from "@loom/worker";
import { isAfter } from "./event-cursor.ts";

/** How often to look for events while somebody listens and nothing rings. */
const POLL_MS = 500;
/** And after a failure. */
const RETRY_MS = 2_000;
const PAGE = 1_000;
/** Events that a listener may be behind before it is let go. */
const MAX_WAITING = 2_000;
/** Of the past that a listener is told before it is sent away to begin anew. */
const MAX_PAST = 20_000;

/** Where a listener stands when what comes next is no event. */
type Turn = "reset" | "now";

export type Matches = (event: QueueEvent) => boolean;

/** One listener's events. */
export interface Subscription {
  /** Where it begins: everything behind it is told. */
  position: string;
  /**
   * The next events, as soon as there are any; none after `ms` without, and when its signal aborts. `reset`
   * when more happened since it left off than is told: it has to look anew, and goes on from here. `now`
   * when the past that was asked for is told, and what follows happens from now on.
   */
  next(ms: number): Promise<QueueEvent[] | Turn>;
}

/**
 * Tells any number of listeners what happens. One loop reads the table of events, for all of them, and
 * only while there are any.
 */
export interface EventFeed {
  /**
   * @param options.after - Where the listener left off; without it, it begins now.
   * @param options.pastMs - How far back it begins where it did not leave off anywhere. Over 0, it is told `now`.
   * @param options.onLost - Called when it takes too little of what happens: it is told nothing more.
   * @param options.signal - Aborts when it listens no longer.
   */
  subscribe(options: {
    after?: string | undefined;
    pastMs?: number;
    matches: Matches;
    onLost: () => void;
    signal: AbortSignal;
  }): Promise<Subscription>;
  /** Looks at once: something was just written. */
  ring(): void;
  /** How many listen. */
  readonly size: number;
}

interface Listener {
  matches: Matches;
  onLost: () => void;
  waiting: QueueEvent[];
  wake: () => void;
}

export function createEventFeed({ queue, log }: { queue: Queue; log: Log }): EventFeed {
  const listeners = new Set<Listener>();
  const bell = createBell();
  /** Up to where all listeners were told; undefined while nobody listens. */
  let position: string | undefined;
  let beginning: Promise<string> | undefined;

  async function begin(): Promise<string> {
    const { cursor } = await queue.readEvents({ after: "now" });
    position = cursor ?? "0.0";
    void readOn();
    return position;
  }

  /** The loop reads on for as long as anybody listens; what fails for one listener is not to begin another. */
  function begun(): Promise<string> {
    beginning ??= begin().catch((error: unknown) => {
      beginning = undefined;
      throw error;
    });
    return beginning;
  }

  async function readOn(): Promise<void> {
    const stop = new AbortController();
    while (listeners.size > 0) {
      let pauseMs = POLL_MS;
      try {
        const page = await queue.readEvents({ after: position ?? "now", limit: PAGE });
        position = page.cursor ?? position;
        for (const listener of listeners) tell(listener, page.events);
        if (page.events.length === PAGE) pauseMs = 0;
      } catch (error) {
        log.warn({ err: error }, "events cannot be read");
        pauseMs = RETRY_MS;
      }
      if (pauseMs > 0) await bell.wait(pauseMs, stop.signal);
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
    ring: () => bell.ring(),

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
        // What the loop told it meanwhile lies before its start.
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
      // Before it was told that it may listen.
      if (signal.aborted) close();
      let isTold = pastMs === 0;

      return {
        position: start,
        async next(ms) {
          for (let page = await past?.next(); page && !page.done; page = await past?.next()) {
            if (typeof page.value === "string") return page.value;
            const events = page.value.filter(matches);
            if (events.length > 0) return events;
          }
          if (!isTold) {
            isTold = true;
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

/** Resolves when the listener is told something, or closed; after `ms` at the latest. */
function waitFor(listener: Listener, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    listener.wake = () => {
      clearTimeout(timer);
      resolve();
    };
  });
}

interface Stretch {
  after: string;
  until: string;
}

/** What happened since a listener left off, page by page. */
async function* resume(
  queue: Queue,
  stretch: Stretch,
): AsyncGenerator<QueueEvent[] | "reset", undefined> {
  const [oldest] = (await queue.readEvents({ limit: 1 })).events;
  // What it left off at is removed by now, and what followed may be too.
  if (oldest && isAfter(oldest.cursor, stretch.after)) yield "reset";
  else yield* readPast(queue, stretch);
}

/** What happened between two places, page by page. */
async function* readPast(
  queue: Queue,
  { after, until }: Stretch,
): AsyncGenerator<QueueEvent[] | "reset", undefined> {
  let place = after;
  for (let read = 0; isAfter(until, place); read += PAGE) {
    // One page more: whether there is nothing behind the last is seen by reading on.
    if (read > MAX_PAST) {
      yield "reset";
      return;
    }
    const { events } = await queue.readEvents({ after: place, limit: PAGE });
    const last = events.at(-1);
    if (!last) return;
    yield events.filter(({ cursor }) => !isAfter(cursor, until));
    place = last.cursor;
  }
}
