import { type ClusterInfo, type Database, openDatabase } from "@loom/local-db";
import type { Queue, Session } from "@loom/queue";
import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import postgres from "postgres";

/** A backlog to claim from. */
export interface Backlog {
  readonly jobs: number;
  readonly nodes: number;
  /** The share of rows that were updated once since the last vacuum, from 0 to 1. */
  readonly dead: number;
}

interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** Milliseconds of one call over a direct connection. */
export interface ClaimLatency extends Backlog {
  /** A claim of one job by a node that has offers; one by a node that has none. */
  readonly claim: Latency;
  readonly emptyClaim: Latency;
  /** Reading what is to be placed, with as many jobs waiting as are offered. */
  readonly listWaiting: Latency;
}

const SAMPLES = 400;

export async function measureClaims(cluster: ClusterInfo, backlog: Backlog): Promise<ClaimLatency> {
  await using database = await openDatabase(cluster);
  const sql = postgres(database.databaseUrl, {
    host: database.socketDir,
    max: 1,
    ...clientOptions,
  });
  try {
    const queue = createPostgresQueue({ sql, timeoutMs: 60_000 });
    await fill(database, backlog);
    const idle = await openSession(queue, "idle");
    // In turn, so that even with few offers each of them has some left.
    const busy = await Promise.all(
      Array.from({ length: Math.min(backlog.nodes, SAMPLES) }, (_, index) =>
        openSession(queue, `node-${index}`),
      ),
    );
    let seq = 0;
    const claimOne = async (session: Session) => {
      seq += 1;
      const answer = await queue.claim(session, { seq, limit: 1 });
      return answer.session === "live" ? answer.jobs.length : 0;
    };
    let claimed = 0;
    const claimNext = async () => {
      const session = busy[claimed % busy.length] ?? idle;
      claimed += await claimOne(session);
    };
    const claim = await sample(claimNext);
    if (claimed !== SAMPLES) throw new Error(`${claimed} of ${SAMPLES} claims brought a job`);
    return {
      ...backlog,
      claim,
      emptyClaim: await sample(() => claimOne(idle)),
      listWaiting: await sample(() => queue.listWaiting()),
    };
  } finally {
    await sql.end();
  }
}

/** As many jobs again wait for a node, of 50 kinds: the placing loop's backlog. */
async function fill({ sql }: Database, { jobs, nodes, dead }: Backlog): Promise<void> {
  // Nobody cleans up behind the measurement's back.
  await sql`alter table public.loom_job_queue set (autovacuum_enabled = off)`;
  await sql`
    insert into public.loom_job_queue (workflow_id, step_id, payload, requires, requirement_key, state, target_host, offer_expires_at)
    select 'bench', 'only', '{}', '{}', 'none', 'pending', 'node-' || n % ${nodes}, now() + interval '1 day'
      from generate_series(1, ${jobs}::integer) as n`;
  await sql`
    insert into public.loom_job_queue (workflow_id, step_id, payload, requires, requirement_key, state)
    select 'bench', 'only', '{}', array['kind-' || n % 50], md5((n % 50)::text), 'waiting'
      from generate_series(1, ${jobs}::integer) as n`;
  await sql`vacuum analyze public.loom_job_queue`;
  if (dead > 0) {
    await sql`
      update public.loom_job_queue set run_at = run_at + interval '1 microsecond'
       where id % 1000 < ${Math.round(dead * 1000)}::integer`;
  }
  await sql`checkpoint`;
}

async function openSession(queue: Queue, node: string): Promise<Session> {
  const report = { name: node, incarnation: crypto.randomUUID(), leaseMs: 600_000 };
  const { epoch } = await queue.hello({ ...report, capabilities: [], slots: 10_000 });
  return { node, epoch };
}

async function sample(call: () => Promise<unknown>): Promise<Latency> {
  const times: number[] = [];
  for (let index = 0; index < SAMPLES; index += 1) {
    const start = performance.now();
    await call();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * (times.length - 1))] ?? Number.NaN;
  return { p50: at(0.5), p99: at(0.99) };
}
