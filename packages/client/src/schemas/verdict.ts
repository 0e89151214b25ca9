import { z } from "zod";

/** Similar known names, for unknown clauses and hosts. */
export const didYouMean = z.array(z.object({ written: z.string(), known: z.array(z.string()) }));

/**
 * The prediction for a step with the current nodes, from best to worst. docs/placement.md explains
 * the codes.
 */
export const verdictKind = z.enum([
  "now",
  "when-free",
  "drained",
  "known-but-offline",
  "no-version",
  "never",
]);

export const stepVerdictSchema = z
  .object({
    step: z.string(),
    verdict: verdictKind,
    code: z.string(),
    summary: z.string(),
    /** One change that improves it; null if none is needed or known. */
    fix: z.string().nullable(),
    didYouMean,
  })
  .meta({ id: "StepVerdict" });
export type StepVerdict = z.output<typeof stepVerdictSchema>;

export const planVerdictSchema = z
  .object({
    /** The worst of its steps, because a run finishes only when all of them can run. */
    verdict: verdictKind,
    steps: z.array(stepVerdictSchema),
  })
  .meta({ id: "PlanVerdict" });
export type PlanVerdict = z.output<typeof planVerdictSchema>;

/** Allows a start that no known node could run. */
export const allowUnsatisfiable = z.boolean().optional().meta({
  description: "Store it even if no known node can run it; it then waits for a node that can",
});
