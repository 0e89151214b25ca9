import { type ClusterInfo, copyDatabase, type DatabaseCopy } from "@loom/local-db";
import type { NewJob, Queue } from "@loom/queue";
import { createPostgresQueue } from "@loom/queue/postgres";
import { connectDirectly } from "../connect.ts";
import { quantile } from "../report.ts";
import { inputOf, LOOPS } from "./engine.ts";
import { claimNext, type NodeLoop, openLoop, settleHeld } from "./engines/loom.ts";

/**
 * How the tables are when jobs are claimed from a backlog: vacuumed; with a fifth of their rows dead since then; or
 * with another fifth dead while an open transaction still sees them, so that nothing can remove them.
 */
export const backlogStates = ["vacuumed", "20 % dead rows", "snapshot held open"] as const;
type BacklogState = (typeof backlogStates)[number];

interface Latency {
  readonly p50: number;
  readonly p99: number;
}

/** The milliseconds of one call over a direct connection, beside this many jobs that wait. */
export interface BacklogLatency {
  readonly jobs: number;
  readonly state: BacklogState;
  /** A claim of one job by a node that has offers. */
  readonly claim: Latency;
  /** A claim by a node that has none. */
  readonly emptyClaim: Latency;
  /** Reading the jobs to place, with as many waiting as are offered. */
  readonly listWaiting: Latency;
}

const NODES = 100;
const KINDS = 50;
const CALL = 1_000;

/** Measures calls beside a backlog, in each of its states. Only public calls make the backlog. */
export async function measureBacklog(
  cluster: ClusterInfo,
  { jobs, samples }: { jobs: number; samples: number },
): Promise<BacklogLatency[]> {
  await using database = await copyDatabase(cluster);
  const { client, close } = connectDirectly(database, LOOPS);
  const queue = createPostgresQueue({ sql: client, timeoutMs: 600_000 });
  try {
    // A quarter of the rest is a fifth of all.
    const dead = Math.ceil(jobs / 4);
    await addJobs(queue, jobs + 2 * dead + 3 * samples + NODES, (index) => ({
      host: nameOf(index),
    }));
    await addJobs(queue, jobs, (index) => ({ requires: [`kind-${index % KINDS}`] }));
    const idle = await openLoop(queue, "idle");
    const nodes = await Promise.all(
      Array.from({ length: NODES }, (_, index) => openLoop(queue, nameOf(index))),
    );
    // Until connections, plans and caches are warm.
    for (const node of nodes) await claimNext(queue, node, 1);
    for (const node of nodes) await settleHeld(queue, node);
    const measure = async (state: BacklogState): Promise<BacklogLatency> => {
      await database.sql`checkpoint`;
      let next = 0;
      const claimOne = () => claimNext(queue, nodes[next++ % NODES] ?? idle, 1);
      const claim = await sample(samples, claimOne);
      const claimed = nodes.reduce((sum, { held }) => sum + held.length, 0);
      if (claimed !== samples) throw new Error(`${claimed} of ${samples} claims brought a job`);
      for (const node of nodes) await settleHeld(queue, node);
      return {
        ...{ jobs, state, claim },
        emptyClaim: await sample(samples, () => claimNext(queue, idle, 1)),
        listWaiting: await sample(Math.min(samples, 100), () => queue.listWaiting()),
      };
    };

    await database.sql`vacuum analyze`;
    const vacuumed = await measure("vacuumed");
    await finishJobs(queue, nodes, dead);
    const withDeadRows = await measure("20 % dead rows");
    await database.sql`vacuum analyze`;
    await using _ = await holdSnapshot(database);
    await finishJobs(queue, nodes, dead);
    return [vacuumed, withDeadRows, await measure("snapshot held open")];
  } finally {
    await close();
  }
}

const nameOf = (index: number) => `node-${index % NODES}`;

async function addJobs(
  queue: Queue,
  jobs: number,
  where: (index: number) => Pick<NewJob, "host" | "requires">,
): Promise<void> {
  await inTurns(Math.ceil(jobs / CALL), async (call) => {
    const first = call * CALL;
    await queue.enqueue(
      Array.from({ length: Math.min(CALL, jobs - first) }, (_, index) => ({
        workflow: "bench",
        step: "only",
        input: inputOf(first + index, { inputBytes: 60 }),
        ...where(first + index),
      })),
    );
  });
}

/** Claims and settles jobs of every node, which leaves dead rows where the next claims look. */
async function finishJobs(queue: Queue, nodes: readonly NodeLoop[], jobs: number): Promise<void> {
  const share = Math.ceil(jobs / nodes.length);
  await inTurns(nodes.length, async (index) => {
    const node = nodes[index];
    for (let left = share; node && left > 0; ) {
      await claimNext(queue, node, Math.min(500, left));
      const settled = await settleHeld(queue, node);
      if (settled === 0) throw new Error(`${node.session.node} has no jobs left`);
      left -= settled;
    }
  });
}

/** Calls `work` with the numbers below `count`, four at once: one for each connection. */
async function inTurns(count: number, work: (number: number) => Promise<void>): Promise<void> {
  const numbers = Array.from({ length: count }, (_, index) => index).values();
  const turn = async () => {
    for (const number of numbers) await work(number);
  };
  await Promise.all([turn(), turn(), turn(), turn()]);
}

/** Opens a transaction that sees everything as it is now, so that no row that dies later can be removed. */
async function holdSnapshot({ sql }: DatabaseCopy): Promise<AsyncDisposable> {
  const connection = await sql.reserve();
  await connection`begin isolation level repeatable read`;
  await connection`select 1 from pg_class limit 1`;
  return {
    async [Symbol.asyncDispose]() {
      await connection`rollback`;
      connection.release();
    },
  };
}

async function sample(count: number, call: () => Promise<unknown>): Promise<Latency> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    const start = performance.now();
    await call();
    times.push(performance.now() - start);
  }
  return { p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}
