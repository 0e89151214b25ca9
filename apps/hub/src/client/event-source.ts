import { HubError } from "./hub-error.ts";
import { type Ask, pause } from "./request.ts";

/** One event of a stream; of what kind, its name says. */
export interface StreamEvent<Name extends string = string, Data = unknown> {
  /** Where to go on behind it. */
  id: string | undefined;
  /** Such as `job.settled`. */
  event: Name;
  data: Data;
}

export interface StreamOptions {
  signal?: AbortSignal;
  /** The `id` of the last event that was taken. */
  after?: string;
}

/** Before a broken stream is opened again. */
const RETRY_MS = 2_000;

/**
 * Follows a stream of the hub's, and goes on where it was when the connection breaks; ends when the stream
 * says that there will be no more.
 *
 * @throws HubError when the hub refuses it.
 */
export async function* followStream<Told extends StreamEvent>(
  ask: Ask,
  path: string,
  { signal, after }: StreamOptions,
): AsyncGenerator<Told, void> {
  let last = after;
  for (;;) {
    try {
      const answer = await ask("GET", path, {
        headers: last === undefined ? {} : { "last-event-id": last },
        ...(signal && { signal }),
      });
      if (answer.status === 204 || !answer.body) return;
      for await (const event of parseEvents<Told>(answer.body)) {
        if (event.event === "end") return;
        last = event.id ?? last;
        yield event;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof HubError) throw error;
    }
    await pause(RETRY_MS, signal);
  }
}

/** The events in a body of `text/event-stream`. */
async function* parseEvents<Told extends StreamEvent>(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<Told, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      const blocks = text.split("\n\n");
      text = blocks.pop() ?? "";
      for (const block of blocks) {
        const event = parseBlock<Told>(block);
        if (event) yield event;
      }
    }
  } finally {
    // Whoever stops listening closes the connection.
    await reader.cancel().catch(() => {});
  }
}

function parseBlock<Told extends StreamEvent>(block: string): Told | undefined {
  const fields = new Map<string, string>();
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    // A line that begins with a colon is a comment.
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trimStart());
  }
  const event = fields.get("event");
  const data = fields.get("data");
  if (event === undefined || data === undefined) return undefined;
  return { id: fields.get("id"), event, data: JSON.parse(data) } as Told;
}
