import { readFileSync } from "node:fs";
import path from "node:path";
import { z } from "zod";
import { writePrivate } from "../joined.ts";

/**
 * How the last upgrade stands, in the state folder. Every start of either agent reads it.
 *
 * `trial`: `to` was started, and has not reported yet; the link still names `from`. `done`: it has, and is what the
 * link names. `failed`: `from` runs, and does not try `to` again by itself.
 */
const marker = z.object({
  state: z.enum(["trial", "done", "failed"]),
  /** The hub's order; null when the agent looked by itself. */
  order: z.string().nullable(),
  from: z.string(),
  to: z.string(),
  /** When it was started first. */
  startedAt: z.iso.datetime(),
  /** How often it was started. */
  tries: z.int(),
  problem: z.object({ code: z.string(), message: z.string() }).optional(),
});
export type Marker = z.output<typeof marker>;

const fileOf = (stateDir: string) => path.join(stateDir, "upgrade.json");

/** What the last upgrade left; undefined when there was none, or the file cannot be read. */
export function readMarker(stateDir: string): Marker | undefined {
  try {
    return marker.safeParse(JSON.parse(readFileSync(fileOf(stateDir), "utf8"))).data;
  } catch {
    return undefined;
  }
}

/** Writes it durably: whole, or as it was. */
export const writeMarker = (stateDir: string, text: Marker): void =>
  writePrivate(fileOf(stateDir), `${JSON.stringify(text)}\n`);
