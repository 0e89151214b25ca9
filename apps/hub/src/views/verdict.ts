import { z } from "@hono/zod-openapi";

/** Names that may have been meant, for clauses and hosts that nobody knows. */
export const didYouMean = z.array(z.object({ written: z.string(), known: z.array(z.string()) }));

/**
 * What would become of a step as the nodes are now, from what is best to what is worst;
 * docs/placement.md has the codes.
 */
export const verdictKind = z.enum([
  "now",
  "when-free",
  "drained",
  "known-but-offline",
  "no-version",
  "never",
]);

export const stepVerdictView = z
  .object({
    step: z.string(),
    verdict: verdictKind,
    code: z.string(),
    summary: z.string(),
    /** What somebody could do about it; null where nothing is to be done, or known. */
    fix: z.string().nullable(),
    didYouMean,
  })
  .openapi("StepVerdict");

export const planVerdictView = z
  .object({
    /** The worst of its steps: a run comes to its end only when all of them can run. */
    verdict: verdictKind,
    steps: z.array(stepVerdictView),
  })
  .openapi("Verdict");

export type PlanVerdict = z.output<typeof planVerdictView>;
export type StepVerdict = z.output<typeof stepVerdictView>;
