import { type Event, eventTypes } from "@loom/hub/client";

export type ConnectionState = "connecting" | "live" | "reconnecting" | "paused" | "refused";

/** Before a stream that the hub refused is asked for again. */
const RETRY_MS = 3_000;

/** What a stream is for. */
export interface ConnectionOptions {
  url: string;
  onState: (state: ConnectionState) => void;
  /** A stream begins, with what happened before it. */
  onStart: () => void;
  /** `isPast` until `onNow`; also of what happened while the stream was broken. */
  onEvent: (event: Event, isPast: boolean) => void;
  /** What follows happens as it is told. */
  onNow: () => void;
  /** There is a gap in what was told: what is known may be wrong. */
  onGap: () => void;
}

/**
 * One stream of events for as long as it is open. The browser itself comes again after a break, and says
 * where it left off.
 *
 * @returns what closes it.
 */
export function openConnection({
  url,
  onState,
  onStart,
  onEvent,
  onNow,
  onGap,
}: ConnectionOptions): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const open = () => {
    const current = new EventSource(url);
    source = current;
    let hasStarted = false;
    let isPast = true;
    current.onopen = () => {
      isPast = true;
      onState("live");
      // After a break the stream goes on where it was.
      if (!hasStarted) onStart();
      hasStarted = true;
    };
    current.onerror = () => {
      if (current.readyState !== EventSource.CLOSED) return onState("reconnecting");
      // The hub answered with something else than a stream: the session may be over.
      onState("refused");
      timer = setTimeout(open, RETRY_MS);
    };
    current.addEventListener("reset", onGap);
    current.addEventListener("now", () => {
      isPast = false;
      onNow();
    });
    for (const type of eventTypes) {
      current.addEventListener(type, ({ data }) => onEvent(JSON.parse(data) as Event, isPast));
    }
  };

  open();
  return () => {
    clearTimeout(timer);
    source?.close();
  };
}
