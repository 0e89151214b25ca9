// One agent as a process of its own: `node worker.ts <JSON of WorkerSettings>`.
import { runAgent } from "./agent.ts";
import { logCalls } from "./call-log.ts";
import type { WorkerSettings } from "./fleet.ts";
import { openQueue } from "./open-queue.ts";
import { createRandom } from "./random.ts";

const { route, seed, logFile, ...agent } = JSON.parse(process.argv[2] ?? "") as WorkerSettings;
const shutdown = new AbortController();
process.once("SIGTERM", () => shutdown.abort());

const { queue, close } = openQueue(route);
const logged = logCalls(queue, { file: logFile, caller: seed });
await runAgent({
  ...agent,
  queue: logged.queue,
  random: createRandom(seed),
  signal: shutdown.signal,
});
logged.close();
await close();
