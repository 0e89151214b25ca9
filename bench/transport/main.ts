// npm run bench -- transport [--rounds 3] [--calls 2000]
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { forkFile, release } from "../programs.ts";
import { describeRun, quantile, toFigure, toTable } from "../report.ts";
import { type ClientName, type Cost, clientNames, measureClient } from "./client.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    calls: { type: "string", default: "2000" },
  },
});
const BATCHES = [1, 10, 100];

const { child: database, message: access } = await forkFile<{ url: string; serviceKey: string }>(
  "database.ts",
);
const costs: Cost[] = [];
for (let round = 0; round < Number(values.rounds); round += 1) {
  for (const batch of BATCHES) {
    const calls = Math.ceil(Number(values.calls) / (batch === 100 ? 10 : 1));
    // In turns, so that a busy machine slows both.
    for (const client of clientNames) {
      costs.push(await measureClient(client, { ...access, batch, calls }));
      console.error(costs.at(-1));
    }
  }
}
await release(database);

const middle = (client: ClientName, batch: number, figure: (cost: Cost) => number) =>
  quantile(costs.filter((cost) => cost.client === client && cost.batch === batch).map(figure), 0.5);
const rows = (figure: (cost: Cost) => number) =>
  clientNames.map((client) => [
    client,
    ...BATCHES.map((batch) => toFigure(middle(client, batch, figure))),
  ]);
const head = ["", ...BATCHES.map((batch) => `batch ${batch}`)];
const command = `npm run bench -- transport ${process.argv.slice(2).join(" ")}`.trim();
const report = `# What does a call over HTTP cost its client?

Each client enqueues jobs, claims them and settles them, a batch in each call, in four loops at once. It is a process of its own; PostgREST,
Postgres (fsync off) and the gateway run beside it on the same two cores. Figures are the medians of the rounds.

## Processor time of the client, in microseconds a call

${toTable(
  head,
  rows((cost) => cost.cpuUs),
)}

## Calls a second

${toTable(
  head,
  rows((cost) => cost.perSecond),
)}

## Resident memory of the client at the end, in MiB

${toTable(
  head,
  rows((cost) => cost.memoryMib),
)}

${describeRun(command)}.
`;
console.log(report);
writeFileSync(new URL("../results/transport.md", import.meta.url), report);
