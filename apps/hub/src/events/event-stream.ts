import type { Context } from "hono";
import { bindingsOf } from "../access/peer.ts";
import { ProblemError } from "../problem.ts";

/** A comment line this often, so that neither end takes a quiet stream for a dead one. */
export const HEARTBEAT_MS = 15_000;

const HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  // nginx, and what speaks its language, would hold events back.
  "x-accel-buffering": "no",
};

/** The other end of a stream. */
export interface Stream {
  /** Aborts when the listener hangs up, and when the hub stops. */
  signal: AbortSignal;
  /** Closes the connection: a listener that does not read does not see an end either. */
  hangUp: () => void;
}

/** One event of a stream, as text/event-stream has it. */
export const toFrame = ({
  id,
  event,
  data,
}: {
  id?: string | undefined;
  event: string;
  data: unknown;
}): string =>
  `${id === undefined ? "" : `id: ${id}\n`}event: ${event}\ndata: ${JSON.stringify(data)}\n\n`;

export const heartbeat = ": still here\n\n";

/** How many streams may be open at once. */
export function createStreamGate({ limit, stopping }: { limit: number; stopping: AbortSignal }) {
  let open = 0;

  /**
   * Answers with a stream of frames: the next one is asked for when the listener has taken the last.
   *
   * @param frames - Ends the stream when it ends.
   * @throws ProblemError `TOO_MANY_STREAMS`
   */
  return async (
    c: Context,
    frames: (stream: Stream) => Promise<AsyncIterator<string>>,
  ): Promise<Response> => {
    // Whoever asks for the head takes no body, and hangs up on none.
    if (c.req.method === "HEAD") return c.body(null, 200, HEADERS);
    if (open >= limit) {
      throw new ProblemError({
        title: "Too many streams",
        status: 503,
        code: "TOO_MANY_STREAMS",
        detail: `${limit} streams are open, which is all this hub serves`,
        hint: "close those that nobody reads",
      });
    }
    open += 1;
    const hungUp = new AbortController();
    const signal = AbortSignal.any([hungUp.signal, stopping, c.req.raw.signal]);
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      open -= 1;
      hungUp.abort();
    };
    const hangUp = () => {
      end();
      bindingsOf(c).outgoing?.destroy();
    };
    try {
      signal.addEventListener("abort", end, { once: true });
      const iterator = await frames({ signal, hangUp });
      return c.body(toBody(iterator, { signal, end }), 200, HEADERS);
    } catch (error) {
      end();
      throw error;
    }
  };
}

const toBody = (
  iterator: AsyncIterator<string>,
  { signal, end }: { signal: AbortSignal; end: () => void },
): ReadableStream<Uint8Array> => {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { value, done } = await iterator.next();
          if (!done && !signal.aborted) return controller.enqueue(encoder.encode(value));
          end();
          controller.close();
        } catch (error) {
          end();
          controller.error(error);
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
};
