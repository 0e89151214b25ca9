// A thread of a step's process that runs even when the step never yields. It ends the process and
// everything that the step started when the agent is gone or the process uses too much memory.
import { Socket } from "node:net";
import { parentPort, workerData } from "node:worker_threads";
import { killCgroup } from "./cgroup.ts";
import { LIFELINE_FD } from "./messages.ts";
import { endOwnDescendants, signalGroup } from "./process-tree.ts";

const POLL_MS = 100;
/** A step that keeps starting programs does not keep its process alive for longer than this. */
const DESCENDANTS_MS = 1_000;

const { memoryMb } = workerData as { memoryMb: number };
const groups = new Set<number>();

let cgroup: string | null = null;

type FromMain = { group: number; isAlive: boolean } | { cgroup: string | null };

parentPort?.on("message", (message: FromMain) => {
  if ("cgroup" in message) cgroup = message.cgroup;
  else if (message.isAlive) groups.add(message.group);
  else groups.delete(message.group);
});

function endAll(): void {
  for (const group of groups) signalGroup(group, "SIGKILL");
  // This process is in it too.
  if (cgroup !== null) killCgroup(cgroup);
  else endOwnDescendants(DESCENDANTS_MS);
  // The process leads its own group.
  signalGroup(process.pid, "SIGKILL");
}

const lifeline = new Socket({ fd: LIFELINE_FD });
lifeline.on("error", endAll);
lifeline.on("close", endAll);
// Without a reader, the close is never noticed.
lifeline.resume();

setInterval(() => {
  if (process.memoryUsage.rss() <= memoryMb * 2 ** 20) return;
  lifeline.write("memory\n", endAll);
}, POLL_MS);
