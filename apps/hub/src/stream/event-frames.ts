import type { Event } from "@loom/client";
import type { QueueEvent } from "@loom/queue";
import type { EventFeed, Matches, Subscription } from "./event-feed.ts";
import { HEARTBEAT_MS, heartbeat, type Stream, toFrame } from "./event-stream.ts";

/** The first line of every stream: how many milliseconds a browser waits before it reconnects. */
const RETRY = "retry: 2000\n\n";

interface Snapshot {
  data: unknown;
  /** There are no more events: the stream ends with this state. */
  isLast: boolean;
}

/** Where a stream of events begins and ends. */
export interface FrameOptions {
  after: string | undefined;
  /** Its `Last-Event-ID` is unknown: it gets `reset` first, so that it reads the state again. */
  isLost?: boolean;
  /** How far back a listener without a cursor begins. */
  pastMs?: number;
  matches: Matches;
  /** The state that is sent first, as of where the events begin. */
  snapshot?: (() => Promise<Snapshot>) | undefined;
  isLast?: Matches;
  /** The state after the last event, which is the data of `end`. */
  last?: () => Promise<unknown>;
  /** No more events are to come: the stream ends after the past ones. */
  isOver?: boolean;
}

/** Twice the time in which the feed polls. */
const QUIET_MS = 1_000;

/** Each event is formatted once, however many listeners there are. */
const formatted = new WeakMap<QueueEvent, string>();
function frameOf(event: QueueEvent): string {
  let frame = formatted.get(event);
  if (frame === undefined) {
    frame = toFrame({ id: event.cursor, event: event.type, data: toEvent(event) });
    formatted.set(event, frame);
  }
  return frame;
}

/** An event as the API shows it. */
const toEvent = ({ cursor: _, epoch: __, at, ...event }: QueueEvent): Event => ({
  ...event,
  at: at.toISOString(),
});

/** The id of the last frame. A listener that reconnects with it has everything, and is turned away. */
export const END = "end";
export const endFrame = (data: unknown = {}): string => toFrame({ id: END, event: "end", data });

/**
 * Creates the frames of one listener's stream.
 *
 * Every event has its cursor as `id`, so a listener resumes with `Last-Event-ID`. A listener that was away too
 * long, or sends an unknown id, gets `reset` and should read the state again.
 */
export async function eventFrames(
  feed: EventFeed,
  { after, isLost = false, pastMs = 0, matches, snapshot, ...end }: FrameOptions,
  { signal, hangUp }: Stream,
): Promise<AsyncIterator<string>> {
  const subscription = await feed.subscribe({ after, pastMs, matches, onLost: hangUp, signal });
  const first = await snapshot?.();
  const { isLast = () => false, last = async () => ({}), isOver = false } = end;
  return generate(subscription, { isLost, first, isLast, last, isOver }, signal);
}

async function* generate(
  subscription: Subscription,
  {
    isLost,
    first,
    isLast,
    last,
    isOver,
  }: Required<Pick<FrameOptions, "isLost" | "isLast" | "last" | "isOver">> & {
    first: Snapshot | undefined;
  },
  signal: AbortSignal,
): AsyncGenerator<string, undefined> {
  const { position } = subscription;
  const opening = first && toFrame({ id: position, event: "snapshot", data: first.data });
  const reset = isLost ? toFrame({ id: position, event: "reset", data: {} }) : "";
  yield RETRY + reset + (opening ?? "");
  if (first?.isLast) {
    yield endFrame(first.data);
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
      yield endFrame(await last());
      return;
    }
  }
}
