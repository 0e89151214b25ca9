// npm run bench -- plans
//
// Writes down the query plans of the functions that a busy queue calls most, with a backlog.
import { writeFileSync } from "node:fs";
import { type Database, openDatabase, startCluster } from "@loom/local-db";
import { migrationScript, type Queue } from "@loom/queue";
import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import postgres from "postgres";
import { describeRun } from "../report.ts";

const JOBS = 100_000;

interface Plan {
  readonly title: string;
  readonly statements: readonly string[];
}

await using cluster = await startCluster({ schema: await migrationScript() });
await using database = await openDatabase(cluster.info);
const notices: string[] = [];
const sql = postgres(database.databaseUrl, {
  host: database.socketDir,
  max: 1,
  ...clientOptions,
  onnotice: ({ message }) => notices.push(message ?? ""),
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

/** The measured calls. Each is made a few times first, so that Postgres has settled on its plan. */
const calls: Record<string, (queue: Queue, round: number) => Promise<unknown>> = {
  "Claim of 10 jobs (`loom_exchange`)": (to, round) =>
    to.claim(session, { seq: round + 1, limit: 10 }),
  "Reading waiting jobs (`loom_list_waiting`)": (to) => to.listWaiting({ perKind: 5 }),
  "Placing 10 jobs (`loom_place_jobs`)": async (to, round) =>
    to.place({
      offers: (await to.listWaiting({ perKind: 1 }))
        .slice(0, 10)
        .map(({ id }) => ({ job: id, node: `node-${round}`, placement: {} })),
      refusals: [],
    }),
  "Finding the cursor of a second ago (`loom_find_event_cursor`)": (to) =>
    to.findEventCursor(1_000),
  "Reaping (`loom_reap`)": (to) => to.reap(),
};

const plans: Plan[] = [];
for (const [title, call] of Object.entries(calls)) {
  for (let round = 0; round < 6; round += 1) await call(queue, round);
  if (title.startsWith("Reaping")) await loseNode(database);
  await sql.unsafe(explainEverything());
  notices.length = 0;
  await call(queue, 6);
  plans.push({ title, statements: notices.filter(isRelevant).map(toText) });
  await sql.unsafe("set auto_explain.log_min_duration = -1");
}
await sql.end();

const page = `# How does Postgres execute the queue's functions?

${describeRun("npm run bench -- plans")}.

The database holds ${JOBS.toLocaleString("en-US")} jobs offered to 100 nodes, and as many waiting jobs of 50 kinds. The page shows every statement of a call as
Postgres' \`auto_explain\` logs it, with the rows that were actually read. The functions pin their planner settings, so a table that has
just grown from nothing to a million rows keeps these plans. Look for two things: there is no sequential scan, and row counts follow what
is asked for, not what is stored.

${plans.map(({ title, statements }) => `## ${title}\n\n${statements.map((text) => `\`\`\`text\n${text}\n\`\`\``).join("\n\n")}`).join("\n\n")}
`;
writeFileSync(new URL("../results/plans.md", import.meta.url), page);
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
    insert into public.loom_job_specs (digest, workflow_id, step_id, requires, kind)
    select sha256(n::text::bytea), 'bench', 'only', array['kind-' || n], md5(n::text)::uuid from generate_series(0, 49) as n`;
  await admin`
    insert into public.loom_jobs (workflow_id, step_id, payload, spec, priority, run_at, state, target_host)
    select 'bench', 'only', '{}', 1 + n % 50, 100, now(), case when n <= ${JOBS}::integer then 'pending' else 'waiting' end::public.loom_job_state,
           case when n <= ${JOBS}::integer then 'node-' || n % 100 end
      from generate_series(1, 2 * ${JOBS}::integer) as n`;
  await admin`
    insert into public.loom_ready (job_id, run_at, kind, priority, host, is_wide, workflow_id, offer_expires_at)
    select job.id, job.run_at, spec.kind, job.priority, job.target_host, false, 'bench',
           case when job.target_host is not null then now() + interval '1 hour' end
      from public.loom_jobs as job join public.loom_job_specs as spec on spec.id = job.spec`;
  await admin`vacuum analyze`;
}

/** Ends the lease of a node and some offers, so that there is something to reap. */
async function loseNode({ sql: admin }: Database): Promise<void> {
  await admin`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;
  await admin`
    update public.loom_ready set offer_expires_at = now() - interval '1 second'
     where host = 'node-7' and job_id % 100000 < 2000`;
}

/** Leaves out statements that read one row by its key or only call a function. */
function isRelevant(message: string): boolean {
  return (
    /loom_jobs|loom_ready|loom_node_sessions|loom_event_batches_pkey/.test(message) &&
    !/Function Scan on json_to_record given/.test(message)
  );
}

/** Removes costs, which are estimates, and figures that differ from run to run. */
function toText(message: string): string {
  return message
    .replace(/^duration: .*plan:\n/, "")
    .replaceAll(/ {2}\(cost=[^)]*\)/g, "")
    .replaceAll(/actual rows=(\d+)\.00 loops=/g, "rows=$1 loops=")
    .trim();
}
