import { createContext, useContext, useEffect, useRef, useSyncExternalStore } from "react";
import type { EventListener, Live, LiveState } from "./live.ts";

const LiveContext = createContext<Live | undefined>(undefined);
export const LiveProvider = LiveContext.Provider;

export function useLive(): Live {
  const live = useContext(LiveContext);
  if (!live) throw new Error("useLive needs a LiveProvider above the component");
  return live;
}

export function useLiveState(): LiveState {
  const live = useLive();
  return useSyncExternalStore(live.subscribe, () => live.state);
}

/** Calls `onEvent` for every event; always the function of the latest rendering. */
export function useEvents(onEvent: EventListener): void {
  const live = useLive();
  const newest = useRef(onEvent);
  newest.current = onEvent;
  useEffect(() => live.onEvent((...args) => newest.current(...args)), [live]);
}
