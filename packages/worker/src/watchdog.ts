// A thread of a step's process that goes on when the step never yields: it ends the process,
// and what the step started, when the agent is gone or the process uses too much memory.
import { Socket } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { signalGroup } from "./process-group.ts";
import { LIFELINE_FD } from "./step-message.ts";

const LOOK_MS = 100;

const { memoryMb } = workerData as { memoryMb: number };
const groups = new Set<number>();

parentPort?.on("message", ({ group, isAlive }: { group: number; isAlive: boolean }) => {
  if (isAlive) groups.add(group);
  else groups.delete(group);
});

function endAll(): void {
  for (const group of groups) signalGroup(group, "SIGKILL");
  // The process leads a group of its own.
  signalGroup(process.pid, "SIGKILL");
}

const lifeline = new Socket({ fd: LIFELINE_FD });
lifeline.on("error", endAll);
lifeline.on("close", endAll);
// Without a reader the end is never noticed.
lifeline.resume();

setInterval(() => {
  if (process.memoryUsage.rss() <= memoryMb * 2 ** 20) return;
  lifeline.write("memory\n", endAll);
}, LOOK_MS);
