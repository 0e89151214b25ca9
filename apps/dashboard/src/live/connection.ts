import { type Event, eventTypes } from "@loom/hub/client";

export type ConnectionState = "connecting" | "live" | "reconnecting" | "paused" | "refused";

/** Before a stream that the hub refused is asked for again. */
const RETRY_MS = 3_000;

/** What a stream is for. */
export interface ConnectionOptions {
  url: string;
  onState: (state: ConnectionState) => void;
  onEvent: (event: Event) => void;
  /** The stream begins here, anew or after a gap: what was known may be wrong. */
  onBegin: () => void;
}

/**
 * One stream of events for as long as it is open. The browser itself comes again after a break, and says
 * where it left off.
 *
 * @returns what closes it.
 */
export function openConnection({ url, onState, onEvent, onBegin }: ConnectionOptions): () => void {
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const open = () => {
    const current = new EventSource(url);
    source = current;
    let hasBegun = false;
    current.onopen = () => {
      onState("live");
      // After a break the stream goes on where it was.
      if (!hasBegun) onBegin();
      hasBegun = true;
    };
    current.onerror = () => {
      if (current.readyState !== EventSource.CLOSED) return onState("reconnecting");
      // The hub answered with something else than a stream: the session may be over.
      onState("refused");
      timer = setTimeout(open, RETRY_MS);
    };
    current.addEventListener("reset", onBegin);
    for (const type of eventTypes) {
      current.addEventListener(type, ({ data }) => onEvent(JSON.parse(data) as Event));
    }
  };

  open();
  return () => {
    clearTimeout(timer);
    source?.close();
  };
}
