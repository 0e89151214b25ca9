import type { DoctorFacts, Fault } from "@loom/explain";
import type { HubFiles } from "@loom/files";
import { type JobSummary, migrationNames, type Node, type Queue } from "@loom/queue";
import type { WorkflowManifest } from "@loom/workflow";
import pMap from "p-map";
import type { HubContext } from "../hub-context.ts";
import { readTailnet } from "../listen/tailnet-client.ts";

/** How many of the newest jobs of each state are examined. */
const MAX_JOBS = 500;
/** A page reads 10 000 rows at most, so waiting jobs may lie behind many finished ones. */
const MAX_PAGES = 5;

/** How many nodes with a wake server are woken, and how many at a time. */
const MAX_WOKEN = 30;
const WAKES_AT_ONCE = 3;

/** Collects the facts at one time. */
export async function gatherFacts({
  queue,
  planner,
  tailnetClient,
  tryWake,
  faults,
  retentionDays,
  files,
}: Pick<
  HubContext,
  "queue" | "planner" | "tailnetClient" | "tryWake" | "faults" | "retentionDays" | "files"
>): Promise<DoctorFacts> {
  const [nodes, pending, waiting, toPlace, paused, hooks, database, migrations, tailnet] =
    await Promise.all([
      queue.listNodes(),
      newestJobs(queue, "pending"),
      newestJobs(queue, "waiting"),
      queue.listWaiting(),
      queue.listPaused(),
      queue.listHooks(),
      askDatabase(queue),
      migrationNames(),
      readTailnet(tailnetClient),
    ]);
  return {
    workflows: new Map([...planner.workflows.values()].map(({ name, version }) => [name, version])),
    workflowProblems: planner.problems,
    nodes,
    jobs: [...pending, ...waiting],
    toPlace,
    paused,
    hooks,
    namedHooks: namedHooksOf([...planner.workflows.values()]),
    retentionDays,
    files: files ? await askStore(files.store) : null,
    faults: [...faults.recent(), ...unreadable(queue)],
    database,
    migrations,
    tailnet,
    wakes: tryWake ? await wakeAll(nodes, tryWake) : null,
  };
}

function namedHooksOf(workflows: readonly WorkflowManifest[]): DoctorFacts["namedHooks"] {
  const named = new Map<string, string[]>();
  for (const { name, notify } of workflows) {
    for (const hook of new Set(Object.values(notify ?? {}).flat())) {
      named.set(hook, [...(named.get(hook) ?? []), name]);
    }
  }
  return named;
}

const askStore = (store: HubFiles["store"]): Promise<NonNullable<DoctorFacts["files"]>> =>
  store.free().then(
    (free) => ({ free: free ?? null }),
    (error: Error) => ({ problem: error.message }),
  );

/** The unreadable rows that this process has skipped so far, as faults. */
const unreadable = (queue: Queue): Fault[] =>
  queue.unreadableRows().map(({ operation, row, problem }) => ({
    loop: operation,
    subject: row,
    message: `it cannot be read and is skipped: ${problem}`,
    count: 1,
    firstAt: new Date(),
    lastAt: new Date(),
  }));

/** Wakes every online node with a wake server. The only effect is that each polls for work. */
function wakeAll(nodes: readonly Node[], tryWake: NonNullable<HubContext["tryWake"]>) {
  const woken = nodes.flatMap((node) =>
    node.online && node.wakePort !== null ? [{ node, port: node.wakePort }] : [],
  );
  return pMap(
    woken.slice(0, MAX_WOKEN),
    async ({ node, port }) => ({ node: node.name, port, wake: await tryWake(node) }),
    { concurrency: WAKES_AT_ONCE },
  );
}

async function newestJobs(queue: Queue, state: "pending" | "waiting"): Promise<JobSummary[]> {
  const found: JobSummary[] = [];
  let after: number | undefined;
  for (let page = 0; page < MAX_PAGES && found.length < MAX_JOBS; page += 1) {
    const { jobs, next } = await queue.listJobs({ state, limit: MAX_JOBS, after });
    found.push(...jobs);
    if (next === null) break;
    after = next;
  }
  return found.slice(0, MAX_JOBS);
}

/** Reads the facts of the database. Its clock was read at the middle of the call, within half of its duration. */
async function askDatabase(queue: Queue): Promise<DoctorFacts["database"]> {
  const startedAt = Date.now();
  const start = performance.now();
  const facts = await queue.describeDatabase();
  const roundTripMs = performance.now() - start;
  return { ...facts, roundTripMs, aheadMs: facts.now.getTime() - startedAt - roundTripMs / 2 };
}
