import { useEffect, useState } from "react";
import { useLiveState } from "../live/live-context.tsx";
import { sayAge, sayDuration } from "./say-time.ts";

/** Now, by the hub's clock: anew every second. */
export function useNow(): number {
  const { clockOffsetMs, connection } = useLiveState();
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    // Who pauses the page wants nothing on it to change.
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
      {sayAge(now - Date.parse(at))}
    </time>
  );
}

/** From one moment to the other, or until now. */
export function Took({ from, until }: { from: string; until: string | null }) {
  const now = useNow();
  return <>{sayDuration((until === null ? now : Date.parse(until)) - Date.parse(from))}</>;
}
