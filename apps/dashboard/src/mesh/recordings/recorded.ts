import { readFileSync } from "node:fs";
import type { Event } from "@loom/hub/client";
import type { Reading } from "../read-mesh.ts";

export const recordings = ["smoke", "waiting", "steering", "node-loss"] as const;

/** What `e2e/recordings/main.ts` recorded of a hub and its agents: readings, and the events between them. */
export function recorded(name: (typeof recordings)[number]): {
  reading: Reading;
  events: Event[];
  after: Reading;
} {
  const file = new URL(`./${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8"));
}
