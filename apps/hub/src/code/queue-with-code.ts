import { type CodeStore, isDigest, keyIdOf, packSource, type SigningKey } from "@loom/code";
import type { Queue } from "@loom/queue";
import { parseWorkflowCapability } from "@loom/scheduler";
import { type ToAuthor, withAuthorPlaces } from "./author-places.ts";

/** How long the hub assumes that the database has a bundle. The database keeps a bundle for a day after its last use. */
const FRESH_MS = 60_000;

/** The requirements of a run or a job that is about to be added. */
type Needs = readonly { readonly requires: readonly string[] }[];

/**
 * Wraps a queue so that it stores bundles and maps errors.
 *
 * - It stores the bundles of a run or job before adding it, because a node may claim it at once. A repeated call
 *   stores nothing twice.
 * - In the errors of jobs, it replaces places in bundles by the author's files and lines.
 *
 * @param options.store - Has the bundles of this hub's workflows. Other hubs have stored theirs.
 */
export function withCode(
  queue: Queue,
  { store, key, toAuthor }: { store: CodeStore; key: SigningKey; toAuthor: ToAuthor },
): Queue {
  /** The last time that each digest was stored, by the wall clock, which goes on while a machine sleeps. */
  const fresh = new Map<string, number>();

  async function provide(digest: string, workflow: string): Promise<void> {
    const age = Date.now() - (fresh.get(digest) ?? Number.NEGATIVE_INFINITY);
    if (!isDigest(digest) || (age >= 0 && age < FRESH_MS)) return;
    const code = await store.read(digest);
    if (!code) return;
    const { statement, manifest, signature, source } = code;
    const bundle = {
      workflows: [workflow],
      key: keyIdOf(key.publicKey),
      signed: { name: statement.name, manifest, signature },
    };
    if (!(await queue.storeCode(digest, bundle))) {
      await queue.storeCode(digest, { ...bundle, source: await packSource(source) });
    }
    fresh.set(digest, Date.now());
  }

  async function provideAll(needs: Needs): Promise<void> {
    const wanted = new Map(
      needs
        .flatMap(({ requires }) => requires.map(parseWorkflowCapability))
        .flatMap((code) => (code?.version === undefined ? [] : [[code.version, code.name]])),
    );
    for (const [version, name] of wanted) await provide(version, name);
  }

  const readable = async <Job extends object>(job: Job): Promise<Job> =>
    "error" in job ? { ...job, error: await withAuthorPlaces(job.error, toAuthor) } : job;

  const wrap = (inner: Queue): Queue => ({
    ...inner,
    withAudit: (request) => wrap(inner.withAudit(request)),

    async getRun(id) {
      const run = await inner.getRun(id);
      return { ...run, jobs: await Promise.all(run.jobs.map(readable)) };
    },

    getJob: async (id) => readable(await inner.getJob(id)),

    async startRun(plan, options) {
      await provideAll(plan.jobs);
      return inner.startRun(plan, options);
    },

    async retryRun(id, options) {
      const { version } = options;
      // Not a part of the request: with its idempotency key, this answer would be taken for the retry's.
      if (version !== undefined) await provide(version, (await queue.getRun(id)).workflow);
      return inner.retryRun(id, options);
    },

    async enqueue(jobs) {
      await provideAll(jobs.map(({ requires = [] }) => ({ requires })));
      return inner.enqueue(jobs);
    },

    async decideSlots(decision, epoch) {
      if (decision.plan) await provideAll(decision.plan.jobs);
      return inner.decideSlots(decision, epoch);
    },

    async startQueuedSlot(id, plan, epoch) {
      if ("jobs" in plan) await provideAll(plan.jobs);
      return inner.startQueuedSlot(id, plan, epoch);
    },

    async triggerSchedule(id, plan, options) {
      await provideAll(plan.jobs);
      return inner.triggerSchedule(id, plan, options);
    },
  });
  return wrap(queue);
}
