import { useEffect, useState } from "react";
import { useLiveState } from "../live/live-context.tsx";

/** Now by the hub's clock, in ms since the epoch; renders anew every second. */
export function useNow(): number {
  const { clockOffsetMs, connection } = useLiveState();
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    // A paused page must not change.
    if (connection === "paused") return;
    const timer = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(timer);
  }, [connection]);
  return now + Math.max(clockOffsetMs, 0);
}

export function Ago({ at }: { at: string }) {
  const now = useNow();
  return (
    <time dateTime={at} title={at}>
      {formatAge(now - Date.parse(at))}
    </time>
  );
}

/** How long it is until a moment. */
export function Left({ until }: { until: string }) {
  const now = useNow();
  return <time dateTime={until}>{formatDuration(Date.parse(until) - now)}</time>;
}

/** The duration from one moment to another, or until now. */
export function Took({ from, until }: { from: string; until: string | null }) {
  const now = useNow();
  return <>{formatDuration((until === null ? now : Date.parse(until)) - Date.parse(from))}</>;
}

/** Formats a duration: `340 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`. A negative one, from clocks that differ, is `0 ms`. */
export function formatDuration(ms: number): string {
  if (ms < 0) return "0 ms";
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const seconds = Math.round(ms / 1_000);
  if (seconds < 3_600) return parts(seconds, 60, "min", "s");
  const minutes = Math.round(seconds / 60);
  if (minutes < 48 * 60) return parts(minutes, 60, "h", "min");
  return `${Math.round(minutes / (60 * 24))} days`;
}

function parts(amount: number, size: number, large: string, small: string): string {
  const rest = amount % size;
  const whole = `${Math.floor(amount / size)} ${large}`;
  return rest === 0 ? whole : `${whole} ${rest} ${small}`;
}

/** Formats an age: `just now`, `40 s ago`, `5 min ago`. */
export function formatAge(ms: number): string {
  if (ms < 2_000) return "just now";
  if (ms < 60_000) return `${Math.round(ms / 1_000)} s ago`;
  if (ms < 3_600_000) return `${Math.round(ms / 60_000)} min ago`;
  if (ms < 48 * 3_600_000) return `${Math.round(ms / 3_600_000)} h ago`;
  return `${Math.round(ms / 86_400_000)} days ago`;
}
