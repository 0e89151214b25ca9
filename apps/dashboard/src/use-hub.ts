import type { Event } from "@loom/hub/client";
import { useCallback, useEffect, useRef, useState } from "react";
import { useEvents } from "./live/live-context.tsx";

/** What was asked of the hub: what it said last stays while it is asked again, or cannot answer. */
export interface Asked<Data> {
  data: Data | undefined;
  error: unknown;
  reload: () => void;
}

/** How long to collect events before asking again. */
const SETTLE_MS = 250;

/**
 * Asks the hub, and asks again when something happens that concerns the answer.
 *
 * @param key - What is asked for: with another key what is known is forgotten.
 */
export function useHub<Data>(
  key: string,
  load: (call: { signal: AbortSignal }) => Promise<Data>,
  concerns: (event: Event) => boolean = () => false,
): Asked<Data> {
  const [state, setState] = useState<{ key: string; data?: Data; error?: unknown }>({ key });
  const [round, setRound] = useState(0);
  const newest = useRef(load);
  newest.current = load;
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);

  const reload = useCallback(() => setRound((before) => before + 1), []);

  // biome-ignore lint/correctness/useExhaustiveDependencies: a new round is a reason to ask again
  useEffect(() => {
    const stop = new AbortController();
    newest.current({ signal: stop.signal }).then(
      (data) => stop.signal.aborted || setState({ key, data }),
      (error: unknown) =>
        stop.signal.aborted ||
        setState((before) => ({ ...(before.key === key ? before : { key }), error })),
    );
    return () => stop.abort();
  }, [key, round]);

  useEvents((event) => {
    if (!concerns(event) || timer.current !== undefined) return;
    timer.current = setTimeout(() => {
      timer.current = undefined;
      reload();
    }, SETTLE_MS);
  });
  useEffect(
    () => () => {
      clearTimeout(timer.current);
      timer.current = undefined;
    },
    [],
  );

  const known = state.key === key ? state : undefined;
  return { data: known?.data, error: known?.error, reload };
}
