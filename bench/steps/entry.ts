// What a thread or a process does until a step could run: import the module.
import { parentPort, workerData } from "node:worker_threads";

await import(workerData ?? process.argv[2]);
if (parentPort) parentPort.postMessage("ready");
else process.send?.("ready");
