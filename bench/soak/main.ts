// npm run soak [-- --minutes 10] [--streams 50] [--runs-per-second 1]
//
// Keeps a hub and an agent at work with streams of events open, and checks that every run succeeds, every
// stream receives the end of every run, and the hub's memory stays flat. The last line says whether it passed.
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { startPrograms } from "../programs.ts";
import { describeRun, toFigure } from "../report.ts";
import { assess } from "./assess.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    streams: { type: "string", default: "50" },
    "runs-per-second": { type: "string", default: "1" },
  },
});
const minutes = Number(values.minutes);
const streams = Number(values.streams);
const pauseMs = 1_000 / Number(values["runs-per-second"]);
/** How long the last runs may take to end and to reach the streams. */
const LAST_MS = 30_000;

const programs = await startPrograms();
const { client, memory } = programs;
await programs.startAgent("tower");

const stop = new AbortController();
const received = Array.from({ length: streams }, () => new Map<string, string>());
const listening = received.map(async (ended) => {
  try {
    for await (const { event, data } of client.streamEvents({ signal: stop.signal })) {
      if (event === "run.finished" && data.runId !== null) ended.set(data.runId, data.state ?? "");
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
});
// No run may start before the streams are open: they would miss it.
await sleep(1_000);

const started: string[] = [];
const samples: number[] = [];
const began = performance.now();
let nextSample = 0;
for (let n = 0; performance.now() - began < minutes * 60_000; n += 1) {
  started.push((await client.startRun("cross-node-smoke", { input: { host: "tower" } })).runId);
  if (performance.now() - began >= nextSample) {
    samples.push(memory());
    console.log(
      `${Math.round((performance.now() - began) / 1_000)} s: ${started.length} runs started, ${received[0]?.size ?? 0} ended, hub ${toFigure(memory())} MiB`,
    );
    nextSample += (minutes * 60_000) / 24;
  }
  await sleep(Math.max(0, began + (n + 1) * pauseMs - performance.now()));
}
const deadline = performance.now() + LAST_MS;
while (received.some((ended) => ended.size < started.length) && performance.now() < deadline) {
  await sleep(100);
}
samples.push(memory());
stop.abort();
await Promise.all(listening);
await programs.stop();

const { passed, why } = assess({ started, received, samples });
console.log(
  describeRun(
    `npm run soak -- --minutes ${minutes} --streams ${streams} --runs-per-second ${values["runs-per-second"]}`,
  ),
);
console.log(`soak ${passed ? "passed" : "FAILED"}: ${why}`);
process.exitCode = passed ? 0 : 1;
