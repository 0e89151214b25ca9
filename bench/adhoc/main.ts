// npm run bench -- adhoc [--quick] [--commands 1000] [--alone 50] [--rounds 3]
//
// Trivial commands end to end, from the request to the recorded exit: Loom beside Slurm and task-spooler.
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { createHubClient, waitForRun } from "@loom/client";
import { describeRun, percentile, quantile, toFigure, toTable } from "../report.ts";
import { listen } from "../system/load.ts";
import { startSystem } from "../system/start.ts";
import { missing, type Peer, repeat, startSlurm, startSpooler, type Way } from "./peers.ts";

const { values } = parseArgs({
  options: {
    /** One minute, for a look at the table. The results are not kept. */
    quick: { type: "boolean", default: false },
    commands: { type: "string" },
    /** How many are measured one at a time. */
    alone: { type: "string" },
    rounds: { type: "string" },
  },
});
const defaults = values.quick
  ? { commands: "100", alone: "5", rounds: "1" }
  : { commands: "1000", alone: "50", rounds: "3" };
const option = (name: keyof typeof defaults) => Number(values[name] ?? defaults[name]);

/** As many as `npm start` has: the hub's four and the agent's two. */
const SLOTS = 6;
/** Slurm was fastest with these: its nodes report many ends at once, and then it starts as many. */
const SLURM_SLOTS = 64;
/** A token may send 100 requests a second. */
const TOKENS = 20;
const CLI = fileURLToPath(new URL("../../apps/cli/src/clone.mjs", import.meta.url));

const peers: { name: string; programs: string[]; start(): Promise<Peer> }[] = [
  { name: "Loom", programs: [], start: startLoom },
  {
    ...{ name: "Slurm", programs: ["munged", "slurmctld", "slurmd", "sbatch", "srun"] },
    start: () => startSlurm(SLURM_SLOTS),
  },
  { name: "task-spooler", programs: ["tsp"], start: () => startSpooler(SLOTS) },
];

/** The row of each way. */
const rows: string[][] = [];
const leftOut: string[] = [];
// One after the other: a peer that rests does not take time of the one that is measured.
for (const { name, programs, start } of peers) {
  const absent = missing(...programs);
  if (absent.length > 0) {
    leftOut.push(`${name} is left out: ${absent.join(", ")} is not installed.`);
    continue;
  }
  await using peer = await start();
  for (const way of peer.ways) rows.push(await measure(way));
}
const report = format();
console.log(report);
if (!values.quick) writeFileSync(new URL("../results/adhoc.md", import.meta.url), report);

async function measure({ name, alone, many }: Way): Promise<string[]> {
  const rates: number[] = [];
  const latencies: number[] = [];
  // The first ones open connections and start processes.
  for (let index = alone ? -2 : Infinity; index < option("alone"); index += 1) {
    // What polls meets the next one at any moment of its interval.
    await sleep(100 + 200 * Math.random());
    const milliseconds = await timed(() => alone?.());
    if (index >= 0) latencies.push(milliseconds);
  }
  for (let round = 0; many && round < option("rounds"); round += 1) {
    rates.push(option("commands") / ((await timed(() => many(option("commands")))) / 1_000));
  }
  const [p50, p95] = [0.5, 0.95].map((share) => (alone ? percentile(latencies, share) : ""));
  const row = [name, many ? toFigure(quantile(rates, 0.5)) : "", p50 ?? "", p95 ?? ""];
  console.error(row.join(" | "));
  return row;
}

async function timed(work: () => Promise<void> | undefined): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

/** What `loom exec` does, by the client that it uses, and the program itself. */
async function startLoom(): Promise<Peer> {
  const system = await startSystem({ LOOM_EXEC: "any", LOOM_EXEC_ON_HUB: "1" });
  const tokens = await system.createTokens(TOKENS, ["read", "run", "exec"]);
  const clients = tokens.map((token) => createHubClient({ url: system.url, token }));
  const next = () => clients[Math.floor(Math.random() * clients.length)] ?? system.client;
  const env = { ...process.env, LOOM_URL: system.url, LOOM_TOKEN: tokens[0] };
  const args = ["--conditions=@loom/source", CLI, "exec", "--", "true"];
  /** Runs commands of one request, and waits for the exit of the last of them. */
  const exec = async (count?: number) => {
    const client = next();
    const input = { argv: ["true"], ...(count !== undefined && { count }) };
    const { runId } = await client.startRun("exec", { input });
    const { status } = await waitForRun(client, runId);
    if (status !== "succeeded") throw new Error(`run ${runId} has ${status}`);
  };
  return {
    ways: [
      {
        name: "Loom, a request to the hub",
        alone: exec,
        async many(count) {
          await using endings = await listen(system.client, "run.finished");
          await repeat(count, () => next().startRun("exec", { input: { argv: ["true"] } }));
          await endings.reach(count);
        },
      },
      { name: "Loom, an array in one request", many: exec },
      {
        name: "Loom, the program `loom exec`",
        alone: async () => void (await promisify(execFile)(process.execPath, args, { env })),
      },
    ],
    [Symbol.asyncDispose]: () => system.stop(),
  };
}

function format(): string {
  const commands = option("commands").toLocaleString("en-US");
  const head = ["", "commands/s", "alone, p50 ms", "p95 ms"];
  return `# How fast are trivial commands?

The command is \`true\`. The time runs from the request until its exit is recorded and the caller knows. Rates are of ${commands} commands, the median
of ${option("rounds")} round${option("rounds") === 1 ? "" : "s"}; commands alone are ${option("alone")}, one at a time.

${toTable(head, rows)}

- **Loom** is what \`npm start\` starts, with ${SLOTS} slots, and records in Postgres. A request goes through the client that \`loom exec\` uses, in one
  process; so does the array, which is what \`loom exec --count\` sends. Starting the program \`loom\` once for each command is in its own row.
- **Slurm** has one node with ${SLURM_SLOTS} slots, the shortest intervals of its scheduler, and an epilog, without which it is slower. Its exits are recorded in a
  file (\`jobcomp/filetxt\`), which is read every 2 ms, because \`sbatch --wait\` asks seconds apart.
- **task-spooler** has ${SLOTS} slots, and keeps exits in memory: they are lost with its process. It has no arrays, so \`tsp\` is started for each command.
- Where each command is submitted by itself, eight submissions are under way at once.
${leftOut.map((line) => `- ${line}\n`).join("")}
${describeRun(`npm run bench -- adhoc ${process.argv.slice(2).join(" ")}`.trim())}.
`;
}
