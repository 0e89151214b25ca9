// This worker runs once for all tabs of a browser. Over HTTP/1.1 a browser opens at most six connections to a hub:
// with a stream for each tab, the seventh tab would wait for ever.
import { hub } from "../hub.ts";
import { REPLAY_MS } from "../map/state/recorder.ts";
import { createSharedStream } from "./shared-stream.ts";

/** A tab that is silent for so long has crashed or sleeps: a live one says "here" every 10 s. */
const SILENT_MS = 30_000;

/** Message of a tab: it listens (sent repeatedly), or it no longer does. */
export type TabMessage = "here" | "gone";

const stream = createSharedStream({
  follow: (options) => hub.streamEvents(options),
  pastMs: REPLAY_MS,
});

// TypeScript cannot have the types of a page and of a worker in one program.
const scope = globalThis as unknown as { onconnect: (event: MessageEvent) => void };

scope.onconnect = ({ ports: [port] }) => {
  if (!port) return;
  let leave: (() => void) | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const forget = () => {
    leave?.();
    leave = undefined;
  };
  port.onmessage = ({ data }: MessageEvent<TabMessage>) => {
    clearTimeout(timer);
    if (data === "gone") return forget();
    timer = setTimeout(forget, SILENT_MS);
    leave ??= stream.add((message) => port.postMessage(message));
  };
};
