// What Loom costs while there is nothing to do: one agent's requests and memory, and the
// database under 200 of them.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import postgres from "postgres";
import { describeRun } from "../machine.ts";
import { release, startProcess } from "../start-process.ts";
import { toTable } from "../table.ts";

const { values } = parseArgs({
  options: {
    agents: { type: "string", default: "200" },
    seconds: { type: "string", default: "120" },
    /** Hello, first probes and doorbell are over by then, and the pace is that of rest. */
    "settle-seconds": { type: "string", default: "15" },
    /** How long the one agent's requests are counted. */
    "count-seconds": { type: "string", default: "60" },
  },
});
const agents = Number(values.agents);
const seconds = Number(values.seconds);
const settleMs = 1_000 * Number(values["settle-seconds"]);
const countSeconds = Number(values["count-seconds"]);
const PROCESSES = 2;
// Of proc_pid_stat(5): clock ticks a second, the same on every Linux of today.
const TICKS = 100;

const BARE = `
  import { createClient } from "@supabase/supabase-js";
  createClient("http://127.0.0.1:1", "key", { auth: { persistSession: false } });
  setInterval(() => {}, 1e9);`;

const { child: databaseProcess, said: database } = await startProcess<{
  url: string;
  serviceKey: string;
  databaseUrl: string;
  socketDir: string;
}>("database.ts");
const sql = postgres(database.databaseUrl, { host: database.socketDir, max: 1, onnotice() {} });

const restingAgent = await measureAgent();
const fleet = await measureFleet();
console.log(
  toTable(
    ["one agent at rest", ""],
    [
      ["requests a minute", restingAgent.perMinute.toFixed(1)],
      ["memory (RSS)", `${restingAgent.agentMb} MB`],
      ["a bare Node process with a supabase-js client", `${restingAgent.bareMb} MB`],
      ["ratio", (restingAgent.agentMb / restingAgent.bareMb).toFixed(2)],
    ],
  ),
);
console.log("");
console.log(
  toTable(
    [`${agents} agents at rest for ${seconds} s`, ""],
    [
      ["calls a second", fleet.calls.toFixed(1)],
      ["Postgres", `${fleet.postgresPercent.toFixed(1)} % of a core`],
      ["PostgREST", `${fleet.postgrestPercent.toFixed(1)} % of a core`],
    ],
  ),
);
console.log(`\n${describeRun("npm run bench -- idle")}`);
await sql.end();
await release(databaseProcess);

/** The program as it is installed, with its default settings, behind a counter of its requests. */
async function measureAgent() {
  let requests = 0;
  const counter = createServer((incoming, answer) => {
    requests += 1;
    const upstream = request(new URL(incoming.url ?? "/", database.url), {
      method: incoming.method,
      headers: incoming.headers,
    });
    upstream.on("response", (response) => {
      answer.writeHead(response.statusCode ?? 502, response.rawHeaders);
      response.pipe(answer);
    });
    upstream.on("error", () => answer.destroy());
    incoming.pipe(upstream);
  });
  await new Promise<void>((resolve) => counter.listen(0, "127.0.0.1", resolve));
  const { port } = counter.address() as AddressInfo;
  const state = mkdtempSync(path.join(tmpdir(), "loom-bench-"));
  const main = path.join(
    path.dirname(fileURLToPath(import.meta.resolve("@loom/node-agent/package.json"))),
    "dist/main.js",
  );
  const agent = spawn(process.execPath, [main], {
    stdio: "ignore",
    env: {
      PATH: process.env.PATH,
      SUPABASE_URL: `http://127.0.0.1:${port}`,
      SUPABASE_SERVICE_ROLE_KEY: database.serviceKey,
      LOOM_NODE_NAME: "resting",
      LOOM_STATE_DIR: state,
    },
  });
  const bare = spawn(process.execPath, ["--input-type=module", "--eval", BARE], {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    stdio: "ignore",
    env: { PATH: process.env.PATH },
  });
  await sleep(settleMs);
  requests = 0;
  await sleep(1_000 * countSeconds);
  const measured = {
    perMinute: (60 * requests) / countSeconds,
    agentMb: rssMb(agent.pid ?? 0),
    bareMb: rssMb(bare.pid ?? 0),
  };
  agent.kill();
  bare.kill();
  counter.closeAllConnections();
  counter.close();
  rmSync(state, { recursive: true });
  return measured;
}

async function measureFleet() {
  const share = agents / PROCESSES;
  const processes = await Promise.all(
    Array.from({ length: PROCESSES }, (_, index) =>
      startProcess(
        "idle/fleet.ts",
        database.url,
        database.serviceKey,
        JSON.stringify({ from: index * share, count: share }),
      ),
    ),
  );
  await sleep(settleMs);
  const before = {
    calls: await calls(),
    postgres: ticks("postgres"),
    postgrest: ticks("postgrest"),
  };
  await sleep(seconds * 1_000);
  const measured = {
    calls: ((await calls()) - before.calls) / seconds,
    postgresPercent: percent(ticks("postgres") - before.postgres),
    postgrestPercent: percent(ticks("postgrest") - before.postgrest),
  };
  for (const { child } of processes) child.kill();
  return measured;
}

/** Transactions of the database, which are calls: PostgREST makes one of each. */
async function calls(): Promise<number> {
  const [row] = await sql<{ count: number }[]>`
    select (xact_commit + xact_rollback)::int as count from pg_stat_database where datname = current_database()`;
  return row?.count ?? 0;
}

function percent(spent: number): number {
  return (100 * spent) / TICKS / seconds;
}

function rssMb(pid: number): number {
  const [, kilobytes] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8")) ?? [];
  return Math.round(Number(kilobytes) / 1024);
}

/** Processor time of all processes of this name below the database's process. */
function ticks(name: string): number {
  const parents = new Map<number, number>();
  const spent = new Map<number, number>();
  for (const pid of readdirSync("/proc").filter((entry) => /^\d+$/.test(entry))) {
    try {
      // The command may hold spaces and parentheses: fields are counted behind the last one.
      const text = readFileSync(`/proc/${pid}/stat`, "utf8");
      const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
      parents.set(Number(pid), Number(fields[1]));
      if (text.includes(`(${name})`))
        spent.set(Number(pid), Number(fields[11]) + Number(fields[12]));
    } catch {
      // It has ended meanwhile.
    }
  }
  const isOurs = (pid: number): boolean =>
    pid === databaseProcess.pid || (pid > 1 && isOurs(parents.get(pid) ?? 0));
  return [...spent].reduce((sum, [pid, used]) => (isOurs(pid) ? sum + used : sum), 0);
}
