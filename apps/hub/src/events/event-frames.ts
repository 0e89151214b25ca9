import type { QueueEvent } from "@loom/queue";
import { toEventView } from "../views/event.ts";
import type { EventFeed, Matches, Subscription } from "./event-feed.ts";
import { HEARTBEAT_MS, heartbeat, type Stream, toFrame } from "./event-stream.ts";

/** The first line of every stream: how long a browser waits before it comes again. */
const RETRY = "retry: 2000\n\n";

/** What is sent first, and after which event the stream is over. */
export interface FrameOptions {
  after: string | undefined;
  /** How far back a listener begins that left off nowhere. */
  pastMs?: number;
  matches: Matches;
  /** Sent first, from where the events begin. */
  snapshot?: (() => Promise<{ data: unknown; isLast: boolean }>) | undefined;
  isLast?: Matches;
  /** Nothing more is to come: the stream ends when what has happened is told. */
  isOver?: boolean;
}

/** Twice as long as events may take to be read. */
const QUIET_MS = 1_000;

/** Formatted once, however many listen. */
const formatted = new WeakMap<QueueEvent, string>();
function frameOf(event: QueueEvent): string {
  let frame = formatted.get(event);
  if (frame === undefined) {
    frame = toFrame({ id: event.cursor, event: event.type, data: toEventView(event) });
    formatted.set(event, frame);
  }
  return frame;
}

/** With this id a listener knows all there will be; one that comes with it is sent away. */
export const END = "end";
const endFrame = toFrame({ id: END, event: "end", data: {} });

/**
 * A listener's stream as text, one piece at a time.
 *
 * Every event has its cursor as `id`, so `Last-Event-ID` goes on where it left off. A listener that was
 * away too long gets `reset`: it should look anew at what it shows.
 */
export async function eventFrames(
  feed: EventFeed,
  { after, pastMs = 0, matches, snapshot, isLast = () => false, isOver = false }: FrameOptions,
  { signal, hangUp }: Stream,
): Promise<AsyncIterator<string>> {
  const subscription = await feed.subscribe({ after, pastMs, matches, onLost: hangUp, signal });
  return generate(subscription, { first: await snapshot?.(), isLast, isOver }, signal);
}

async function* generate(
  subscription: Subscription,
  {
    first,
    isLast,
    isOver,
  }: {
    first: { data: unknown; isLast: boolean } | undefined;
    isLast: Matches;
    isOver: boolean;
  },
  signal: AbortSignal,
): AsyncGenerator<string, undefined> {
  const { position } = subscription;
  const opening = first && toFrame({ id: position, event: "snapshot", data: first.data });
  yield RETRY + (opening ?? "");
  if (first?.isLast) {
    yield endFrame;
    return;
  }
  for (;;) {
    const events = await subscription.next(isOver ? QUIET_MS : HEARTBEAT_MS);
    if (signal.aborted) return;
    if (typeof events === "string") {
      yield toFrame({ id: position, event: events, data: {} });
      continue;
    }
    if (events.length > 0) yield events.map(frameOf).join("");
    else if (!isOver) yield heartbeat;
    if (events.some(isLast) || (isOver && events.length === 0)) {
      yield endFrame;
      return;
    }
  }
}
