import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Queue, Settlement } from "@loom/queue";
import type { LoggedCall } from "./call-log.ts";
import { persist } from "./persist.ts";
import type { Random } from "./random.ts";

const BATCH = 100;

export interface GhostOptions {
  readonly queue: Queue;
  /** Where the workers log their calls. */
  readonly logFolder: string;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/**
 * Old settles, delivered late: what a worker once said is said again, with a result of its own, so
 * that one which is recorded although the first was recorded already can be told from it.
 */
export async function runGhost({ queue, logFolder, random, signal }: GhostOptions): Promise<void> {
  while (!signal.aborted) {
    await haunt({ queue, logFolder, random, files: 1 });
    await sleep(random.int(100, 300));
  }
}

/** Says again some of what was settled, from so many of the workers' logs. */
export async function haunt(
  options: Omit<GhostOptions, "signal"> & { files: number },
): Promise<void> {
  const { queue, logFolder, random, files } = options;
  const [first, ...others] = readdirSync(logFolder).filter((name) => /^node/.test(name));
  if (first === undefined) return;
  for (let file = 0; file < files; file += 1) {
    const name = random.pick([first, ...others]);
    const items = settlementsIn(join(logFolder, name));
    const from = random.int(0, Math.max(0, items.length - BATCH));
    const batch = items.slice(from, from + BATCH);
    if (batch.length > 0) await persist(() => queue.settle(name.replace(/\..*/, ""), batch));
  }
}

function settlementsIn(file: string): Settlement[] {
  return readFileSync(file, "utf8")
    .split("\n")
    .slice(0, -1)
    .filter((line) => line.includes('"method":"settle"'))
    .flatMap((line) => (JSON.parse(line) as LoggedCall).args[1] as Settlement[])
    .map((item) =>
      item.outcome === "succeeded"
        ? { ...item, result: { id: item.id, fence: item.fence, node: "ghost" } }
        : item,
    );
}
