import type { Event, Session } from "@loom/client";
import { hub } from "../hub.ts";
import { REPLAY_MS } from "../map/state/recorder.ts";
import { type ConnectionState, createSharedStream, type StreamMessage } from "./shared-stream.ts";
import type { TabMessage } from "./stream-worker.ts";

/** Interval at which a tab says that it still listens. */
const HERE_MS = 10_000;

interface ConnectionOptions {
  /** Tabs of one session share a stream. */
  session: Pick<Session, "who" | "expiresAt">;
  onState: (state: ConnectionState) => void;
  /** A stream begins, with the past first. */
  onStart: () => void;
  /** `isPast` until `onNow`, and for events that happened while the stream was broken. */
  onEvent: (event: Event, isPast: boolean) => void;
  /** The events that follow are live. */
  onNow: () => void;
  /** Events are missing: what is known may be wrong. */
  onGap: () => void;
}

/**
 * Follows the hub's events over one stream that all tabs of this browser share. A browser without shared workers
 * opens one for each tab.
 *
 * @returns a function that closes the connection.
 */
export function openConnection(options: ConnectionOptions): () => void {
  const send = (message: StreamMessage) => take(message, options);
  return "SharedWorker" in globalThis ? joinWorker(options.session, send) : ownStream().add(send);
}

let own: ReturnType<typeof createSharedStream> | undefined;
function ownStream() {
  own ??= createSharedStream({
    follow: (options) => hub.streamEvents(options),
    pastMs: REPLAY_MS,
  });
  return own;
}

function joinWorker(
  { who, expiresAt }: ConnectionOptions["session"],
  send: (message: StreamMessage) => void,
): () => void {
  const worker = new SharedWorker(new URL("./stream-worker.ts", import.meta.url), {
    type: "module",
    // Another session may see other data, so it has its own worker and stream.
    name: `loom ${who} ${expiresAt}`,
  });
  const { port } = worker;
  const say = (message: TabMessage) => port.postMessage(message);
  let leaveOwn: (() => void) | undefined;
  // The script cannot be loaded, for example because the hub was replaced by another version.
  worker.onerror = () => {
    leaveOwn ??= ownStream().add(send);
  };
  port.onmessage = ({ data }: MessageEvent<StreamMessage>) => send(data);
  say("here");
  const timer = setInterval(say, HERE_MS, "here");
  return () => {
    clearInterval(timer);
    worker.onerror = null;
    leaveOwn?.();
    say("gone");
    port.close();
  };
}

function take(message: StreamMessage, options: ConnectionOptions): void {
  if (message.type === "state") options.onState(message.state);
  else if (message.type === "event") options.onEvent(message.event, message.isPast);
  else if (message.type === "start") options.onStart();
  else if (message.type === "now") options.onNow();
  else options.onGap();
}
