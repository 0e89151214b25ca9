import type { Diagnosis } from "@loom/client";
import { useEffect } from "react";
import { hub } from "../hub.ts";
import { useLiveState } from "../live/live-context.tsx";
import { type HubQuery, useHub } from "../use-hub.ts";

/** Interval in a visible tab. The checks query the database, the tailnet and every wake server. */
const ASK_EVERY_MS = 60_000;

/** The doctor's diagnosis and its time by this clock, in ms since the epoch. */
export interface Examined extends Diagnosis {
  at: number;
}

/** Gets the diagnosis every minute. The shell calls this once for all its users. */
export function useDoctor(): HubQuery<Examined> {
  const { connection } = useLiveState();
  const diagnosis = useHub("doctor", async (call) => ({
    at: Date.now(),
    ...(await hub.getDoctor(call)),
  }));
  const { reload } = diagnosis;
  useEffect(() => {
    if (connection === "paused") return;
    const timer = setInterval(() => document.hidden || reload(), ASK_EVERY_MS);
    return () => clearInterval(timer);
  }, [connection, reload]);
  return diagnosis;
}
