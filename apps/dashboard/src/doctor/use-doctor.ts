import type { Diagnosis } from "@loom/hub/client";
import { useEffect } from "react";
import { hub } from "../hub.ts";
import { useLiveState } from "../live/live-context.tsx";
import { type Asked, useHub } from "../use-hub.ts";

/** Of each tab that is seen: the checks ask the database, the tailnet and every doorbell. */
const ASK_EVERY_MS = 60_000;

/** What the doctor found, and when, by this clock. */
export interface Examined extends Diagnosis {
  at: number;
}

/** Asks the hub's doctor every minute. The shell does, for all that shows what it finds. */
export function useDoctor(): Asked<Examined> {
  const { connection } = useLiveState();
  const asked = useHub("doctor", async (call) => ({
    at: Date.now(),
    ...(await hub.getDoctor(call)),
  }));
  const { reload } = asked;
  useEffect(() => {
    if (connection === "paused") return;
    const timer = setInterval(() => document.hidden || reload(), ASK_EVERY_MS);
    return () => clearInterval(timer);
  }, [connection, reload]);
  return asked;
}
