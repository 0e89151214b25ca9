import { type JobSummary, migrationNames, type Node, type Queue } from "@loom/queue";
import { fewAtOnce } from "../few-at-once.ts";
import type { RouteDeps } from "../hub-context.ts";
import { readTailnet } from "../mesh/read-tailnet.ts";
import type { DoctorFacts } from "./facts.ts";

/** Of the jobs of each state, the newest that are looked at. */
const MAX_JOBS = 500;
/** A page looks at 10 000 rows at most: what waits may be behind more that is finished. */
const MAX_PAGES = 5;

/** Of nodes with a doorbell, how many are rung. */
const MAX_RUNG = 30;

/** Collects what the checks judge, all at once. */
export async function gatherFacts({
  queue,
  workflows,
  mesh,
  tryRing,
}: Pick<RouteDeps, "queue" | "workflows" | "mesh" | "tryRing">): Promise<DoctorFacts> {
  const [nodes, pending, waiting, placeable, paused, database, migrations, tailnet] =
    await Promise.all([
      queue.listNodes(),
      newestJobs(queue, "pending"),
      newestJobs(queue, "waiting"),
      queue.listWaiting(),
      queue.listPaused(),
      askDatabase(queue),
      migrationNames(),
      readTailnet(mesh),
    ]);
  return {
    workflows: new Map([...workflows.values()].map(({ name, version }) => [name, version])),
    nodes,
    jobs: [...pending, ...waiting],
    placeable: new Set(placeable.map(({ id }) => id)),
    paused,
    database,
    migrations,
    tailnet,
    rings: tryRing ? await ringAll(nodes, tryRing) : null,
  };
}

/** Rings every node that is in touch and has a doorbell: all that comes of it is that each looks for work. */
function ringAll(nodes: readonly Node[], tryRing: NonNullable<RouteDeps["tryRing"]>) {
  const rung = nodes.flatMap((node) =>
    node.online && node.doorbellPort !== null ? [{ node, port: node.doorbellPort }] : [],
  );
  return fewAtOnce(rung.slice(0, MAX_RUNG), async ({ node, port }) => ({
    node: node.name,
    port,
    ring: await tryRing(node),
  }));
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

/** Its clock is read somewhere on the way: in the middle, within half of the time it took. */
async function askDatabase(queue: Queue): Promise<DoctorFacts["database"]> {
  const startedAt = Date.now();
  const start = performance.now();
  const facts = await queue.describeDatabase();
  const roundTripMs = performance.now() - start;
  return { ...facts, roundTripMs, aheadMs: facts.now.getTime() - startedAt - roundTripMs / 2 };
}
