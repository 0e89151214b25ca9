// What a thread or a process does until a step could run: import the module.
import { parentPort, workerData } from "node:worker_threads";

await import(workerData ?? process.argv[2]);
// Whoever listens is not over yet.
(parentPort ?? process).on("message", () => {});
if (parentPort) parentPort.postMessage("ready");
else process.send?.("ready");
