// Does what a thread or a process does before a step can run: imports the module.
import { parentPort, workerData } from "node:worker_threads";

await import(workerData ?? process.argv[2]);
// A listener keeps the thread or process alive.
(parentPort ?? process).on("message", () => {});
if (parentPort) parentPort.postMessage("ready");
else process.send?.("ready");
