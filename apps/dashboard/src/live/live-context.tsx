import { createContext, useContext, useEffect, useRef, useSyncExternalStore } from "react";
import type { EventListener, Live, LiveState } from "./live.ts";

const LiveContext = createContext<Live | undefined>(undefined);
export const LiveProvider = LiveContext.Provider;

export function useLive(): Live {
  const live = useContext(LiveContext);
  if (!live) throw new Error("there is no connection around this component");
  return live;
}

export function useLiveState(): LiveState {
  const live = useLive();
  return useSyncExternalStore(live.subscribe, () => live.state);
}

/** Calls for every event; the newest function that was given. */
export function useEvents(onEvent: EventListener): void {
  const live = useLive();
  const newest = useRef(onEvent);
  newest.current = onEvent;
  useEffect(() => live.onEvent((...told) => newest.current(...told)), [live]);
}
