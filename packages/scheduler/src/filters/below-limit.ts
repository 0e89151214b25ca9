import { type Filter, fits, refuses } from "../rule.ts";

/** Keeps a job from every node while as many of its concurrency key run as may. */
export const belowLimit: Filter = {
  name: "below-limit",
  about: "availability",
  key: ({ concurrency }) =>
    concurrency === undefined
      ? ""
      : `${concurrency.running} of ${concurrency.limit} of ${concurrency.key}`,
  named: () => [],
  check: ({ concurrency }) =>
    concurrency === undefined || concurrency.running < concurrency.limit
      ? fits
      : refuses(
          "concurrency_limit",
          `may not run a further job of ${concurrency.key} (${concurrency.running}/${concurrency.limit} run)`,
        ),
  mend: ({ concurrency }) =>
    concurrency && {
      action: `wait for a job of ${concurrency.key} to end, or raise its limit`,
      job: { concurrency: { ...concurrency, limit: concurrency.running + 1 } },
    },
};
