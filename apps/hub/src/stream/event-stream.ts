import { bindingsOf, describeProblem, type HubEnv, ProblemError, problem } from "@loom/http";
import type { Context } from "hono";
import type { HubContext } from "../hub-context.ts";

/** How often a quiet stream sends a comment, so that neither end takes it for dead. */
export const HEARTBEAT_MS = 15_000;

const HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-store",
  // Keeps nginx and compatible proxies from buffering events.
  "x-accel-buffering": "no",
};

/** The connection of a listener. */
export interface Stream {
  /** Aborts when the listener disconnects and when the hub stops. */
  signal: AbortSignal;
  /** Closes the connection. A listener that does not read would not see the end of the stream. */
  hangUp: () => void;
}

/** Formats one event as text/event-stream. */
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

/** How often open streams are authorised again. A remembered lookup may be older. */
const RECHECK_MS = 4_000;

interface OpenStream {
  isStillIn: () => Promise<boolean>;
  hangUp: () => void;
}

/**
 * Limits the number of open streams, and ends a stream whose caller is no longer authorised: at once when its
 * token was revoked on this hub, within 10 s when it was on another.
 */
export function createStreamGate({
  maxStreams: limit,
  maxStreamsEach: limitEach,
  tokens,
  stopping,
}: Pick<HubContext, "maxStreams" | "maxStreamsEach" | "tokens" | "stopping">) {
  const open = new Set<OpenStream>();
  const openBy = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;

  function checkAll(): void {
    for (const stream of open) {
      stream.isStillIn().then(
        (isIn) => isIn || stream.hangUp(),
        () => stream.hangUp(),
      );
    }
  }
  tokens.onCleared(checkAll, stopping);

  function add(stream: OpenStream, subject: string): void {
    open.add(stream);
    openBy.set(subject, (openBy.get(subject) ?? 0) + 1);
    timer ??= setInterval(checkAll, RECHECK_MS);
  }

  function remove(stream: OpenStream, subject: string): void {
    open.delete(stream);
    const left = (openBy.get(subject) ?? 1) - 1;
    if (left > 0) openBy.set(subject, left);
    else openBy.delete(subject);
    if (open.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  /**
   * Responds with a stream of frames. The next frame is read when the listener has taken the last one.
   *
   * @param frames - The stream ends with this iterator.
   * @throws ProblemError `TOO_MANY_STREAMS`
   */
  return async (
    c: Context<HubEnv>,
    frames: (stream: Stream) => Promise<AsyncIterator<string>>,
  ): Promise<Response> => {
    // A HEAD request opens no stream.
    if (c.req.method === "HEAD") return c.body(null, 200, HEADERS);
    const { subject } = c.get("identity");
    if ((openBy.get(subject) ?? 0) >= limitEach) {
      throw new ProblemError(describeProblem("TOO_MANY_STREAMS", limitEach, subject), {
        "retry-after": "2",
      });
    }
    if (open.size >= limit) throw problem("TOO_MANY_STREAMS", limit);
    const hungUp = new AbortController();
    const signal = AbortSignal.any([hungUp.signal, stopping, c.req.raw.signal]);
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      remove(stream, subject);
      hungUp.abort();
    };
    const hangUp = () => {
      end();
      bindingsOf(c).outgoing?.destroy();
    };
    const stream: OpenStream = { isStillIn: c.get("isStillIn"), hangUp };
    add(stream, subject);
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
