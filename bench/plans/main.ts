// npm run bench -- plans: the plans of the functions that a busy queue lives by, with a backlog
import { writeFileSync } from "node:fs";
import { type Database, openDatabase, startCluster } from "@loom/local-db";
import { migrationScript, type Queue } from "@loom/queue";
import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import postgres from "postgres";
import { describeRun } from "../machine.ts";

const JOBS = 100_000;

interface Plan {
  readonly title: string;
  readonly statements: readonly string[];
}

await using cluster = await startCluster({ schema: await migrationScript() });
await using database = await openDatabase(cluster.info);
const heard: string[] = [];
const sql = postgres(database.databaseUrl, {
  host: database.socketDir,
  max: 1,
  ...clientOptions,
  onnotice: ({ message }) => heard.push(message ?? ""),
});
const queue = createPostgresQueue({ sql, timeoutMs: 60_000 });
await fill(database);
const { epoch } = await queue.hello({
  name: "node-1",
  incarnation: crypto.randomUUID(),
  leaseMs: 45_000,
  capabilities: [],
  slots: 100,
});
const session = { node: "node-1", epoch };

/** Each is called a few times first, so that its plan is the one that stays. */
const calls: Record<string, (queue: Queue, round: number) => Promise<unknown>> = {
  "Claim of 10 jobs (`loom_claim_jobs`)": (to, round) =>
    to.claim(session, { seq: round + 1, limit: 10 }),
  "What waits (`loom_list_waiting`)": (to) => to.listWaiting({ perKind: 5 }),
  "Placing 10 jobs (`loom_place_jobs`)": async (to, round) =>
    to.place({
      offers: (await to.listWaiting({ perKind: 1 }))
        .slice(0, 10)
        .map(({ id }) => ({ job: id, node: `node-${round}`, placement: {} })),
      refusals: [],
    }),
  "Where the last second begins (`loom_find_event_cursor`)": (to) => to.findEventCursor(1_000),
  "Reaping (`loom_reap`)": (to) => to.reap(),
};

const plans: Plan[] = [];
for (const [title, call] of Object.entries(calls)) {
  for (let round = 0; round < 6; round += 1) await call(queue, round);
  if (title.startsWith("Reaping")) await loseNode(database);
  await sql.unsafe(explainEverything());
  heard.length = 0;
  await call(queue, 6);
  plans.push({ title, statements: heard.filter(isTold).map(toText) });
  await sql.unsafe("set auto_explain.log_min_duration = -1");
}
await sql.end();

const page = `# Plans of the queue's functions

${describeRun("npm run bench -- plans")}.

${JOBS.toLocaleString("en-US")} offered jobs over 100 nodes and as many waiting ones of 50 kinds. Every statement that a call runs, as Postgres' \`auto_explain\` saw it, with
the rows that were really read. The functions pin their planner settings, so a table that has just grown from nothing to a million
rows keeps these plans. What to look for: no sequential scan, and row counts that follow what is asked for, not what is stored.

${plans.map(({ title, statements }) => `## ${title}\n\n${statements.map((text) => `\`\`\`text\n${text}\n\`\`\``).join("\n\n")}`).join("\n\n")}
`;
writeFileSync(new URL("../../docs/queue-plans.md", import.meta.url), page);
console.log(page);

function explainEverything(): string {
  return `
    load 'auto_explain';
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
    set auto_explain.log_analyze = on;
    set auto_explain.log_timing = off;
    set auto_explain.log_buffers = off;
    set auto_explain.log_parameter_max_length = 0;
    set client_min_messages = log;`;
}

async function fill({ sql: admin }: Database): Promise<void> {
  await admin`
    insert into public.loom_job_queue (workflow_id, step_id, payload, requirement_key, state, target_host, offer_expires_at)
    select 'bench', 'only', '{}', 'none', 'pending', 'node-' || n % 100, now() + interval '1 hour'
      from generate_series(1, ${JOBS}::integer) as n`;
  await admin`
    insert into public.loom_job_queue (workflow_id, step_id, payload, requirement_key, state)
    select 'bench', 'only', '{}', md5((n % 50)::text), 'waiting' from generate_series(1, ${JOBS}::integer) as n`;
  await admin`vacuum analyze`;
}

/** Its lease has ended, and so have some offers: there is something to reap. */
async function loseNode({ sql: admin }: Database): Promise<void> {
  await admin`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;
  await admin`
    update public.loom_job_queue set offer_expires_at = now() - interval '1 second'
     where target_host = 'node-7' and id % 100000 < 2000`;
}

/** The reading of one row by its key, and what does no more than call a function, say nothing. */
function isTold(message: string): boolean {
  return (
    /loom_job_queue|loom_node_sessions|loom_events_pkey/.test(message) &&
    !/Function Scan on json_to_record given/.test(message)
  );
}

/** Without the costs, which are estimates, and the figures that differ from run to run. */
function toText(message: string): string {
  return message
    .replace(/^duration: .*plan:\n/, "")
    .replaceAll(/ {2}\(cost=[^)]*\)/g, "")
    .replaceAll(/actual rows=(\d+)\.00 loops=/g, "rows=$1 loops=")
    .trim();
}
