import type { Event } from "@loom/hub/client";
import { createContext, useContext, useEffect, useRef, useSyncExternalStore } from "react";
import type { Mesh } from "../mesh/mesh.ts";
import type { Live, LiveState } from "./live.ts";

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
export function useEvents(onEvent: (event: Event, before: Mesh) => void): void {
  const live = useLive();
  const newest = useRef(onEvent);
  newest.current = onEvent;
  useEffect(() => live.onEvent((event, before) => newest.current(event, before)), [live]);
}
