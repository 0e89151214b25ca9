// npm run bench -- streams [seconds]
//
// A hub in its own process serves 200 streams of events while ten runs start each second: measures how soon
// an event reaches a stream, and how much memory the hub uses.
import { writeFileSync } from "node:fs";
import { createHubClient } from "@loom/client";
import { startPrograms } from "../programs.ts";
import { describeRun, quantile, toFacts } from "../report.ts";

const STREAMS = 200;
const RUNS_PER_SECOND = 10;
const seconds = Number(process.argv[2] ?? 60);

const programs = await startPrograms();
const { client, memory, url } = programs;
// One token may have 100 streams.
const readers = await Promise.all(
  Array.from({ length: STREAMS / 100 }, async (_, index) => {
    const { token } = await client.createToken({ name: `reader-${index}`, scopes: ["read"] });
    return createHubClient({ url, token });
  }),
);

const delays: number[] = [];
let received = 0;
const stop = new AbortController();
const before = memory();
const streams = Array.from({ length: STREAMS }, async (_, index) => {
  const reader = readers[index % readers.length] ?? client;
  try {
    for await (const { event, data } of reader.streamEvents({ signal: stop.signal })) {
      received += 1;
      // The database is on this machine, so both times come from one clock.
      if (event === "run.started") delays.push(Date.now() - Date.parse(data.at));
    }
  } catch (error) {
    if (!stop.signal.aborted) throw error;
  }
});

const samples: { second: number; rss: number }[] = [];
const began = performance.now();
for (let n = 0; n < seconds * RUNS_PER_SECOND; n += 1) {
  if (n % (RUNS_PER_SECOND * Math.ceil(seconds / 6)) === 0) {
    samples.push({ second: Math.round((performance.now() - began) / 1_000), rss: memory() });
  }
  await client.startRun("cross-node-smoke", { input: {}, allowUnsatisfiable: true });
  const next = began + ((n + 1) * 1_000) / RUNS_PER_SECOND;
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
}
samples.push({ second: Math.round((performance.now() - began) / 1_000), rss: memory() });
stop.abort();
await Promise.all(streams);

const rows: [string, string][] = [
  ["events received, over all streams", String(received)],
  [
    "from the start of a run until its event arrives, p50",
    `${Math.round(quantile(delays, 0.5))} ms`,
  ],
  ["p99", `${Math.round(quantile(delays, 0.99))} ms`],
  ["hub's memory before the first stream", `${Math.round(before)} MiB`],
  ...samples.map(({ second, rss }): [string, string] => [
    `after ${second} s`,
    `${Math.round(rss)} MiB`,
  ]),
];
const report = `# ${STREAMS} open streams

${describeRun(`npm run bench -- streams ${seconds}`)}

${RUNS_PER_SECOND} runs a second for ${seconds} s. Hub, database and listeners share the machine.

${toFacts(rows)}
`;
console.log(report);
writeFileSync(new URL("../results/streams.md", import.meta.url), report);
await programs.stop();
