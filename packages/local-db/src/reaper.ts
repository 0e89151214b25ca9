// The entry point of a process of its own, which outlives its parent by a moment.
//
// The parent writes here what must not be left behind. When the pipe closes, in whatever
// way the parent ended, every process still listed is ended, the last one started first
// (Postgres after its clients), and then every directory still listed is removed.
import { rmSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import type { HeldItem, HeldProcess, ReaperMessage } from "./custody.ts";
import { isRunning, killGroup, signalProcess } from "./process-group.ts";

const POLL_MS = 20;

async function end({ pid, stopSignal, graceMs }: HeldProcess): Promise<void> {
  signalProcess(pid, stopSignal);
  const deadline = performance.now() + graceMs;
  while (isRunning(pid) && performance.now() < deadline) await sleep(POLL_MS);
  killGroup(pid);
}

// A signal to all processes of a service or a session is no reason to leave before the parent.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => undefined);
process.stdout.on("error", () => undefined);
process.stdout.write("ready\n");

const held = new Map<number, HeldItem>();
for await (const line of createInterface({ input: process.stdin })) {
  const { id, item } = JSON.parse(line) as ReaperMessage;
  if (item) held.set(id, item);
  else held.delete(id);
}

const items = [...held.values()].reverse();
for (const item of items) if (item.kind === "process") await end(item);
for (const item of items) {
  if (item.kind === "process") continue;
  try {
    rmSync(item.path, { recursive: true, force: true, maxRetries: 5 });
  } catch {
    // Nobody is left to be told; the others still have to go.
  }
}
