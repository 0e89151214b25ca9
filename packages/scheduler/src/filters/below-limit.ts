import type { JobView } from "../job-view.ts";
import { type Filter, fits, refuses } from "../rule.ts";

/** Keeps a job from every node while as many of its concurrency key run as may. */
export const belowLimit: Filter = {
  name: "below-limit",
  about: "availability",
  key: (job) => (job.concurrency ? `${shareOf(job)} of ${job.concurrency.key}` : ""),
  named: () => [],
  check: (job) => {
    const { concurrency } = job;
    if (!concurrency || (concurrency.running ?? 0) < concurrency.limit) return fits;
    return refuses(
      "concurrency_limit",
      `may not run a further job of ${concurrency.key} (${shareOf(job)} run)`,
    );
  },
  mend: ({ concurrency }) =>
    concurrency
      ? {
          action: `wait for a job of ${concurrency.key} to end, or raise its limit`,
          job: { concurrency: { ...concurrency, limit: (concurrency.running ?? 0) + 1 } },
        }
      : undefined,
};

const shareOf = ({ concurrency }: JobView): string =>
  `${concurrency?.running ?? 0}/${concurrency?.limit}`;
