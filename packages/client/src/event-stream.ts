import { EventSourceParserStream } from "eventsource-parser/stream";
import { HubError, type Send, sleep } from "./request.ts";

/** One event of a stream. */
export interface StreamEvent<Name extends string = string, Data = unknown> {
  /** Pass it as `after` to continue after this event. */
  id: string | undefined;
  /** Such as `job.settled`. */
  event: Name;
  data: Data;
}

export interface StreamOptions {
  signal?: AbortSignal;
  /** The `id` of the last event that was handled. */
  after?: string;
  /**
   * Called when the connection opens and when it breaks. The stream continues when it opens again.
   */
  onConnection?: (isOpen: boolean) => void;
}

/** The pause before a broken stream is opened again. */
const REOPEN_MS = 2_000;

/**
 * Follows a stream of the hub. After a broken connection it continues after the last event. It
 * returns after `end`.
 *
 * @throws HubError when the hub refuses the request.
 */
export async function* followStream<Expected extends StreamEvent>(
  send: Send,
  path: string,
  { signal, after, onConnection = () => {} }: StreamOptions,
): AsyncGenerator<Expected, void> {
  let last = after;
  for (;;) {
    try {
      const answer = await send("GET", path, {
        headers: last === undefined ? {} : { "last-event-id": last },
        ...(signal && { signal }),
      });
      if (answer.status === 204 || !answer.body) return;
      onConnection(true);
      for await (const event of readEvents<Expected>(answer.body)) {
        last = event.id ?? last;
        yield event;
        if (event.event === "end") return;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof HubError) throw error;
    }
    onConnection(false);
    await sleep(REOPEN_MS, signal);
  }
}

/** Reads the events of a `text/event-stream` body, whose data is JSON. */
async function* readEvents<Expected extends StreamEvent>(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<Expected, void> {
  const reader = body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const { id, event, data } = value;
      if (event !== undefined) yield { id, event, data: JSON.parse(data) } as Expected;
    }
  } finally {
    // Closes the connection when the caller stops reading.
    await reader.cancel().catch(() => {});
  }
}
