// npm run bench -- streams [seconds]
//
// A hub in a process of its own with 200 streams of events open, while runs are started ten times
// a second: how soon each stream is told, and what it costs the hub in memory.
import { writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { startPrograms } from "../programs.ts";

const STREAMS = 200;
const RUNS_PER_SECOND = 10;
const seconds = Number(process.argv[2] ?? 60);

const programs = await startPrograms();
const { client, memory } = programs;

const delays: number[] = [];
let told = 0;
const stop = new AbortController();
const before = memory();
const streams = Array.from({ length: STREAMS }, async () => {
  try {
    for await (const { event, data } of client.streamEvents({ signal: stop.signal })) {
      told += 1;
      // One clock: the database is on this machine.
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

delays.sort((a, b) => a - b);
const percentile = (part: number) =>
  Math.round(delays[Math.floor((delays.length - 1) * part)] ?? Number.NaN);
const rows: [string, string][] = [
  ["events told, over all streams", String(told)],
  ["from the start of a run until a stream is told, p50", `${percentile(0.5)} ms`],
  ["p99", `${percentile(0.99)} ms`],
  ["hub's memory before the first stream", `${Math.round(before)} MiB`],
  ...samples.map(({ second, rss }): [string, string] => [
    `after ${second} s`,
    `${Math.round(rss)} MiB`,
  ]),
];
const report = `# ${STREAMS} open streams

\`npm run bench -- streams ${seconds}\` on ${cpus().length} × ${cpus()[0]?.model}, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.version};
hub, database and listeners on the same machine, ${RUNS_PER_SECOND} runs started a second for ${seconds} s.

${table(rows)}
`;
console.log(report);
writeFileSync(new URL("../results/streams.md", import.meta.url), report);
await programs.stop();

/** Two columns, as the formatter of this repository writes them. */
function table(lines: [string, string][]): string {
  const [left = 0, right = 0] = [0, 1].map((column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  );
  const row = (one: string, other: string) => `| ${one.padEnd(left)} | ${other.padEnd(right)} |`;
  const rule = `| ${"-".repeat(left)} | ${"-".repeat(right)} |`;
  return [row("", ""), rule, ...lines.map(([one, other]) => row(one, other))].join("\n");
}
