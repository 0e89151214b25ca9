// npm run bench -- http [--seconds 8] [--connections 10]
//
// How fast a hub answers: reads and starts of runs, with autocannon, against a hub and a database that
// are processes of their own. All of them and autocannon share this machine.
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import autocannon from "autocannon";
import { describeRun } from "../machine.ts";
import { startPrograms } from "../programs.ts";
import { toFigure, toTable } from "../table.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "8" },
    connections: { type: "string", default: "10" },
  },
});
const duration = Number(values.seconds);
const connections = Number(values.connections);
/** Runs that are there before anything is measured. */
const RUNS = 500;
/** One may ask a hundred times a second; as many as it takes for the hub to be the limit. */
const TOKENS = 40;

const programs = await startPrograms();
const { client, url, memory } = programs;
const tokens: string[] = [];
for (let index = 0; index < TOKENS; index += 1) {
  const scopes = ["read", "run"] as const;
  tokens.push((await client.createToken({ name: `bench-${index}`, scopes })).token);
}
for (let run = 0; run < RUNS; run += 1) {
  await client.startRun("cross-node-smoke", { input: {} });
  // One's own pace, or the hub's limit would set it.
  await new Promise((resolve) => setTimeout(resolve, 11));
}
const [job] = (await client.listJobs()).data;

const cases = [
  { title: "GET /runs (50 of them)", method: "GET", path: "/runs" },
  { title: "GET /jobs/{id}", method: "GET", path: `/jobs/${job?.id}` },
  { title: "GET /nodes", method: "GET", path: "/nodes" },
  { title: "POST /strands/{workflow}/run", method: "POST", path: "/strands/cross-node-smoke/run" },
] as const;

const before = memory();
const rows: string[][] = [];
for (const { title, method, path } of cases) {
  const { requests, latency, non2xx, errors, timeouts } = await autocannon({
    url,
    connections,
    duration,
    requests: tokens.map((token) => ({
      method,
      path: `/api/loom${path}`,
      headers: { authorization: `Bearer ${token}` },
    })),
  });
  rows.push([
    title,
    toFigure(requests.average),
    String(latency.p50),
    String(latency.p99),
    String(non2xx + errors + timeouts),
    toFigure(memory()),
  ]);
}
await programs.stop();

const report = `# Answers of a hub

${connections} connections for ${duration} s each; ${RUNS} runs of four steps were there before. Hub, PostgREST, Postgres and autocannon share
the machine; the programs run from their TypeScript sources. The hub's memory was ${toFigure(before)} MiB before.

${toTable(["", "a second", "p50, ms", "p99, ms", "not answered well", "hub's memory, MiB"], rows)}

${describeRun(`npm run bench -- http --seconds ${duration} --connections ${connections}`)}
`;
console.log(report);
writeFileSync(new URL("../results/http.md", import.meta.url), report);
