import type { Event, HubClient } from "@loom/client";

export type ConnectionState = "connecting" | "live" | "reconnecting" | "paused" | "refused";

/** A message of a shared stream to its listeners. */
export type StreamMessage =
  | { type: "state"; state: ConnectionState }
  /** The stream begins, with the past first. Earlier events are void. */
  | { type: "start" }
  /** `isPast` until `now`, and for events that happened while the stream was broken. */
  | { type: "event"; event: Event; isPast: boolean }
  /** The events that follow are live. */
  | { type: "now" }
  /** Events are missing: what is known may be wrong. */
  | { type: "gap" };

/** One stream of events for any number of listeners, open while there is one. */
export interface SharedStream {
  /** @returns a function that removes the listener. */
  add(send: (message: StreamMessage) => void): () => void;
}

/** Time until the next attempt after the hub refused a stream. */
const RETRY_MS = 3_000;
/** How long the stream stays open without listeners: users leave a tab and come back. */
const LINGER_MS = 5_000;
/** Maximum number of events kept for later listeners: as many as a hub sends of the past. */
const MAX_PAST = 20_000;

/** The part of the hub's client that a stream needs. */
export type Follow = Pick<HubClient, "streamEvents">["streamEvents"];

/**
 * Follows the hub's events once for all listeners. A later listener gets the past from memory, as if it had
 * opened a stream of its own.
 *
 * @param options.pastMs - How far back the past of a listener begins.
 */
export function createSharedStream({
  follow,
  pastMs,
  lingerMs = LINGER_MS,
}: {
  follow: Follow;
  pastMs: number;
  lingerMs?: number;
}): SharedStream {
  const listeners = new Set<(message: StreamMessage) => void>();
  let state: ConnectionState = "connecting";
  let past: Event[] = [];
  let hasStarted = false;
  let isPast = true;
  let running: AbortController | undefined;
  let lingering: ReturnType<typeof setTimeout> | undefined;

  function sendAll(message: StreamMessage): void {
    for (const send of listeners) send(message);
  }

  function setState(next: ConnectionState): void {
    state = next;
    sendAll({ type: "state", state });
  }

  function onConnection(isOpen: boolean): void {
    isPast = true;
    setState(isOpen ? "live" : "reconnecting");
    if (!isOpen || hasStarted) return;
    hasStarted = true;
    sendAll({ type: "start" });
  }

  function take(event: Event): void {
    past.push(event);
    // Drops many at a time: dropping one moves all the others.
    if (past.length > MAX_PAST * 1.1) past = past.slice(-MAX_PAST);
    sendAll({ type: "event", event, isPast });
  }

  async function run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      past = [];
      hasStarted = false;
      setState("connecting");
      try {
        for await (const message of follow({ pastMs, signal, onConnection })) {
          if (message.event === "now") {
            isPast = false;
            sendAll({ type: "now" });
          } else if (message.event === "reset") {
            sendAll({ type: "gap" });
          } else {
            take(message.data as Event);
          }
        }
      } catch {
        // The hub answered with something other than a stream: the session may have ended.
        if (!signal.aborted) setState("refused");
      }
      if (!signal.aborted) await pause(RETRY_MS, signal);
    }
  }

  function stop(): void {
    running?.abort();
    running = undefined;
    past = [];
  }

  return {
    add(send) {
      clearTimeout(lingering);
      listeners.add(send);
      if (!running) {
        running = new AbortController();
        void run(running.signal);
      } else {
        send({ type: "state", state });
        if (hasStarted) {
          send({ type: "start" });
          const begin = Date.now() - pastMs;
          for (const event of past) {
            if (Date.parse(event.at) >= begin) send({ type: "event", event, isPast: true });
          }
          if (!isPast) send({ type: "now" });
        }
      }
      return () => {
        if (!listeners.delete(send) || listeners.size > 0) return;
        clearTimeout(lingering);
        lingering = setTimeout(stop, lingerMs);
      };
    },
  };
}

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
