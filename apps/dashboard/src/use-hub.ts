import type { Event } from "@loom/client";
import { useCallback, useEffect, useRef, useState } from "react";
import { useEvents, useLive } from "./live/live-context.tsx";
import { createPollLoop, type PollLoop } from "./live/poll-loop.ts";

/** A request to the hub. The last response stays while the request is repeated, and when it fails. */
export interface HubQuery<Data> {
  data: Data | undefined;
  error: unknown;
  reload: () => void;
}

interface Pace {
  apartMs?: number;
  everyMs?: number;
}

/** How long to collect events before the request is repeated. */
const SETTLE_MS = 250;

/**
 * Sends a request to the hub, and repeats it after events that concern the response. An event does not abort a
 * request under way: on a slow connection, frequent events would otherwise keep every response away.
 *
 * @param key - Identifies the request: with another key the last response is dropped.
 * @param concerns - Selects the events. Without it only `reload` repeats the request.
 * @param pace.apartMs - Minimum time between requests, for one that is expensive.
 * @param pace.everyMs - Repeats the request also without an event.
 */
export function useHub<Data>(
  key: string,
  load: (call: { signal: AbortSignal }) => Promise<Data>,
  concerns?: (event: Event) => boolean,
  { apartMs = SETTLE_MS, everyMs = Number.POSITIVE_INFINITY }: Pace = {},
): HubQuery<Data> {
  const [state, setState] = useState<{ key: string; data?: Data; error?: unknown }>({ key });
  const newest = useRef(load);
  newest.current = load;
  const loop = useRef<PollLoop>(undefined);

  useEffect(() => {
    const opened = createPollLoop({ apartMs }, async (signal) => {
      await newest.current({ signal }).then(
        (data) => signal.aborted || setState({ key, data }),
        (error: unknown) =>
          signal.aborted ||
          setState((before) => ({ ...(before.key === key ? before : { key }), error })),
      );
      return everyMs;
    });
    loop.current = opened;
    opened.restart();
    return opened.stop;
  }, [key, apartMs, everyMs]);

  const reload = useCallback(() => loop.current?.restart(), []);
  useEvents((event) => {
    if (concerns?.(event)) loop.current?.within(SETTLE_MS);
  });
  const live = useLive();
  const hasConcerns = concerns !== undefined;
  useEffect(
    () => live.onMissedEvents(() => hasConcerns && loop.current?.within(SETTLE_MS)),
    [live, hasConcerns],
  );

  const known = state.key === key ? state : undefined;
  return { data: known?.data, error: known?.error, reload };
}
