import { readFileSync } from "node:fs";
import type { Event } from "@loom/client";
import type { Reading } from "../reading.ts";

export const recordings = ["smoke", "waiting", "steering", "node-loss"] as const;

/** A recording that `e2e/recordings/main.ts` made of a hub and its agents: two readings and the events between them. */
export function recorded(name: (typeof recordings)[number]): {
  reading: Reading;
  events: Event[];
  after: Reading;
} {
  const file = new URL(`./${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, "utf8"));
}
