import { useCallback, useEffect, useRef, useState } from "react";
import { useEvents, useLive, useLiveState } from "../live/live-context.tsx";
import type { Mesh } from "./mesh.ts";
import type { PulseSource } from "./mesh-map.tsx";
import type { Pulse } from "./pulse.ts";
import { pulseOf } from "./pulse.ts";
import { REPLAY_MS } from "./recorder.ts";
import { reduce } from "./reduce.ts";

export const SPEEDS = [1, 4, 16] as const;
type Speed = (typeof SPEEDS)[number];
const TICK_MS = 100;

/** The mesh as it is, or as it was: by the same reducer, from the same events. */
export interface Replay {
  mesh: Mesh;
  /** The moment that is shown; null for now. */
  at: number | null;
  /** The first and the last moment there is. */
  range: { from: number; until: number };
  isPlaying: boolean;
  speed: Speed;
  /** What time it is on the map, in ms since the epoch. */
  now: () => number;
  pulses: PulseSource;
  seek(at: number): void;
  play(speed: Speed): void;
  hold(): void;
  goLive(): void;
}

export function useReplay(): Replay {
  const live = useLive();
  const { mesh, clockOffsetMs } = useLiveState();
  const [at, setAt] = useState<number | null>(null);
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState<Speed>(1);
  const listeners = useRef(new Set<(pulse: Pulse) => void>());
  const tell = useCallback((pulse: Pulse | undefined) => {
    if (pulse) for (const listener of listeners.current) listener(pulse);
  }, []);
  const pulses = useCallback<PulseSource>((listener) => {
    listeners.current.add(listener);
    return () => listeners.current.delete(listener);
  }, []);

  const moment = useRef(at);
  moment.current = at;
  const offset = useRef(clockOffsetMs);
  offset.current = clockOffsetMs;
  const now = useCallback(() => moment.current ?? Date.now() + offset.current, []);

  const until = Date.now() + clockOffsetMs;
  const from = Math.max(live.recorder.beginsAt ?? until, until - REPLAY_MS);

  useEvents((event, before, isPast) => {
    if (at === null && !isPast) tell(pulseOf(before, event));
  });

  useEffect(() => {
    if (at === null || !isPlaying) return;
    const timer = setTimeout(() => {
      const next = at + TICK_MS * speed;
      if (next >= Date.now() + offset.current) {
        setAt(null);
        setPlaying(false);
        return;
      }
      let before = live.recorder.meshAt(at);
      for (const event of live.recorder.eventsBetween(at, next)) {
        tell(pulseOf(before, event));
        before = reduce(before, event);
      }
      setAt(next);
    }, TICK_MS);
    return () => clearTimeout(timer);
    // Not with every rendering: while much happens, the next one comes before the tick.
  }, [at, isPlaying, speed, live, tell]);

  return {
    mesh: at === null ? mesh : live.recorder.meshAt(at),
    at,
    range: { from, until },
    isPlaying,
    speed,
    now,
    pulses,
    seek(to) {
      setAt(Math.min(Math.max(to, from), until));
      setPlaying(false);
    },
    play(chosen) {
      setSpeed(chosen);
      setAt((before) => before ?? from);
      setPlaying(true);
    },
    hold: () => setPlaying(false),
    goLive() {
      setAt(null);
      setPlaying(false);
    },
  };
}
