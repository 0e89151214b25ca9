import { useCallback, useEffect, useRef, useState } from "react";
import { useEvents, useLive, useLiveState } from "../live/live-context.tsx";
import type { PulseSource } from "./node-map.tsx";
import type { MapState } from "./state/map-state.ts";
import { REPLAY_MS } from "./state/recorder.ts";
import { reduce } from "./state/reduce.ts";
import { type Pulse, pulseOf } from "./state/transitions.ts";

const SPEEDS = [1, 4, 16] as const;
type Speed = (typeof SPEEDS)[number];
const TICK_MS = 100;

/** The map now or at a past moment, made by the same reducer from the same events. */
interface Replay {
  map: MapState;
  /** The moment shown, in ms since the epoch; null for now. */
  at: number | null;
  /** The first and the last moment that can be shown. */
  range: { from: number; until: number };
  isPlaying: boolean;
  speed: Speed;
  /** The time on the map, in ms since the epoch. */
  now: () => number;
  pulses: PulseSource;
  seek(at: number): void;
  play(speed: Speed): void;
  hold(): void;
  goLive(): void;
}

export function useReplay(): Replay {
  const live = useLive();
  const { map, clockOffsetMs } = useLiveState();
  const [at, setAt] = useState<number | null>(null);
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState<Speed>(1);
  const listeners = useRef(new Set<(pulse: Pulse) => void>());
  const emit = useCallback((pulse: Pulse | undefined) => {
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
    if (at === null && !isPast) emit(pulseOf(before, event));
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
      let before = live.recorder.mapAt(at);
      for (const event of live.recorder.eventsBetween(at, next)) {
        emit(pulseOf(before, event));
        before = reduce(before, event);
      }
      setAt(next);
    }, TICK_MS);
    return () => clearTimeout(timer);
    // Only these dependencies: with many events, a rendering comes before every tick and would restart the timer.
  }, [at, isPlaying, speed, live, emit]);

  return {
    map: at === null ? map : live.recorder.mapAt(at),
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

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** The controls of the replay. */
export function ReplayBar({ replay }: { replay: Replay }) {
  const { at, range, isPlaying, speed } = replay;
  const shown = at ?? range.until;
  return (
    <div className="replay">
      {isPlaying ? (
        <button type="button" onClick={replay.hold}>
          Hold
        </button>
      ) : (
        <button type="button" onClick={() => replay.play(speed)}>
          Replay
        </button>
      )}
      <input
        type="range"
        aria-label="Moment"
        aria-valuetext={at === null ? "now" : clock.format(shown)}
        min={range.from}
        max={Math.max(range.until, range.from + 1)}
        value={shown}
        onChange={({ target }) => replay.seek(Number(target.value))}
      />
      <output className="replay-at">{at === null ? "now" : clock.format(shown)}</output>
      <select
        aria-label="Speed"
        value={speed}
        onChange={({ target }) => {
          const chosen = SPEEDS.find((one) => one === Number(target.value)) ?? 1;
          replay.play(chosen);
        }}
      >
        {SPEEDS.map((one) => (
          <option key={one} value={one}>
            {one}×
          </option>
        ))}
      </select>
      {at !== null && (
        <button type="button" className="main" onClick={replay.goLive}>
          Back to now
        </button>
      )}
    </div>
  );
}
