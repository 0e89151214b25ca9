import { closeSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ClaimAnswer, Queue, Settlement } from "@loom/queue";
import { type LoggedCall, persist } from "./queue-client.ts";
import type { Random } from "./random.ts";

const BATCH = 100;
/** How much of a log is read at once: logs grow to many megabytes. */
const SLICE_BYTES = 200_000;
/** The last claims of a killed worker are its last few lines. */
const TAIL_BYTES = 50_000;
/** How often those claims are settled, starting when their node runs again. */
const TIMES = 25;

export interface GhostOptions {
  readonly queue: Queue;
  /** Where the workers log their calls. */
  readonly logFolder: string;
  readonly random: Random;
  readonly signal: AbortSignal;
}

/**
 * Sends late settles: old ones of the workers once more, and ones for the last claims of killed workers.
 *
 * A success carries a result of the ghost's own, which tells it apart from the worker's.
 */
export async function runGhost({ queue, logFolder, random, signal }: GhostOptions): Promise<void> {
  const rounds = new Map<string, number>();
  while (!signal.aborted) {
    const killed = killedLogs(logFolder).find((name) => (rounds.get(name) ?? 0) < TIMES);
    if (killed) {
      rounds.set(killed, (rounds.get(killed) ?? 0) + 1);
      await settleLast({ queue, log: join(logFolder, killed) });
    } else {
      await repeatOld({ queue, logFolder, random });
    }
    await sleep(random.int(10, 60));
  }
}

/** Repeats some settles of a worker. */
export async function repeatOld(options: Omit<GhostOptions, "signal">): Promise<void> {
  const { queue, logFolder, random } = options;
  const [first, ...others] = workerLogs(logFolder);
  if (first === undefined) return;
  const name = random.pick([first, ...others]);
  const lines = readSlice(join(logFolder, name), SLICE_BYTES, random.next());
  const items = lines
    .filter((line) => line.includes('"method":"settle"'))
    .flatMap((line) => (JSON.parse(line) as LoggedCall).args[1] as Settlement[])
    .map((item) => (item.outcome === "succeeded" ? ghostly(item) : item));
  if (items.length > 0) await persist(() => queue.settle(nodeOf(name), items.slice(0, BATCH)));
}

/** Settles the last claims of a killed worker. */
async function settleLast({ queue, log }: { queue: Queue; log: string }): Promise<void> {
  const items = readSlice(log, TAIL_BYTES, 1)
    .filter((line) => line.includes('"session":"live","jobs":[{'))
    .flatMap((line) => {
      const answer = (JSON.parse(line) as LoggedCall).answer as ClaimAnswer;
      return answer.session === "live" ? answer.jobs.map(ghostly) : [];
    });
  if (items.length > 0) await persist(() => queue.settle(nodeOf(log), items.slice(-BATCH)));
}

const ghostly = ({ id, fence }: { id: number; fence: number }): Settlement => ({
  id,
  fence,
  outcome: "succeeded",
  result: { id, fence, node: "ghost" },
});

const nodeOf = (log: string) => log.replace(/^.*\//, "").replace(/\..*/, "");

const workerLogs = (folder: string) => readdirSync(folder).filter((name) => /^node/.test(name));

/** The logs of workers that have been started again since. */
function killedLogs(folder: string): string[] {
  const startOf = (name: string) => Number(name.split(".")[1]);
  return [...Map.groupBy(workerLogs(folder), nodeOf).values()].flatMap((names) =>
    names.sort((a, b) => startOf(a) - startOf(b)).slice(0, -1),
  );
}

/** Reads the whole lines of a part of a file. `where` goes from 0, its beginning, to 1, its end. */
function readSlice(file: string, size: number, where: number): string[] {
  const log = openSync(file, "r");
  const buffer = Buffer.alloc(size);
  const from = Math.floor(where * Math.max(0, fstatSync(log).size - size));
  const bytes = readSync(log, buffer, 0, size, from);
  closeSync(log);
  const lines = buffer.toString("utf8", 0, bytes).split("\n");
  return lines.slice(from === 0 ? 0 : 1, -1);
}
