import { InvalidClauseError, limits, parseClause } from "@loom/workflow";
import { z } from "zod";
import { jobState, waitingReason } from "./jobs.ts";
import type { RequestOf } from "./values.ts";
import { didYouMean } from "./verdict.ts";

const eligibility = z.enum([
  "eligible",
  "ineligible",
  "version",
  "excluded",
  "offline",
  "draining",
  "paused",
  "limited",
  "full",
  "unavailable",
]);

const failure = z.object({
  filter: z.string(),
  /** Waiting cannot change an `ability`, but can change an `availability`. */
  about: z.enum(["ability", "availability"]),
  code: z.string(),
  reason: z.string(),
  clause: z.string().optional(),
  seen: z.array(z.string()).optional(),
});

const nodeReport = z.object({
  node: z.string(),
  eligibility,
  /** From 0 to 1; null for a node that cannot take the step. */
  score: z.number().nullable(),
  failures: z.array(failure),
  clauses: z.array(z.object({ clause: z.string(), met: z.boolean(), seen: z.array(z.string()) })),
});

/** The answer of every filter and every clause for every node. */
export const explanationSchema = z
  .object({
    code: z.string(),
    summary: z.string(),
    known: z.int(),
    eligible: z.int(),
    clauses: z.array(z.object({ clause: z.string(), met: z.int() })),
    /** Clauses that no known node meets. */
    missing: z.array(z.string()),
    /** Sorted by name. Empty above 50 nodes: use `groups`, or ask about one node. */
    nodes: z.array(nodeReport),
    /** Nodes with the same failures, the largest group first, each with up to eight names. */
    groups: z.array(
      z.object({
        eligibility,
        failures: z.array(failure),
        count: z.int(),
        nodes: z.array(z.string()),
      }),
    ),
    /** The node with the fewest failures; null if a node takes the step or no node is known. */
    nearest: nodeReport.pick({ node: true, eligibility: true, failures: true }).nullable(),
    /**
     * One change that lets a node take the step; null if a node takes it now, or if no such change
     * is known.
     */
    fix: z.string().nullable(),
    didYouMean,
  })
  .meta({ id: "Explanation" });
export type Explanation = z.output<typeof explanationSchema>;

/** A reason why a job is not placed on any node. */
const hold = z.object({
  code: z.enum(["dependency", "paused_workflow", "not_due", "sleep", "signal", "approval"]),
  summary: z.string(),
  fix: z.string().nullable(),
});
export type Hold = z.output<typeof hold>;

export const jobExplanationSchema = z
  .object({
    job: z.int(),
    state: jobState,
    /** The node that runs the job, or that the job is offered or pinned to. */
    host: z.string().nullable(),
    /** The first of `holds`, else `offered`, `running`, `mapping`, `finished`, else the explanation's code. */
    code: z.string(),
    summary: z.string(),
    holds: z.array(hold),
    /** The reason that the last round of placing stored. */
    waitingReason,
    /** Why the node was chosen; null before that. */
    placement: z.unknown(),
    /** For the current nodes; null when the job runs or is finished. */
    explanation: z.union([explanationSchema, z.null()]),
  })
  .meta({ id: "JobExplanation" });
export type JobExplanation = z.output<typeof jobExplanationSchema>;

/** A clause of a requirement. */
export const clause = z
  .string()
  .meta({ maxLength: limits.clauseLength })
  .superRefine((text, context) => {
    try {
      parseClause(text);
    } catch (error) {
      if (!(error instanceof InvalidClauseError)) throw error;
      context.addIssue({ code: "custom", message: error.message });
    }
  });

export const explainRequest = z.strictObject({
  requires: z.array(clause).max(limits.requirements).default([]),
  host: z
    .string()
    .min(1)
    .max(limits.nodeNameLength)
    .optional()
    .meta({ description: "Pins it to a node" }),
  prefers: z
    .array(z.strictObject({ clause, weight: z.number().min(0).max(1_000_000) }))
    .max(limits.preferences)
    .default([]),
});
export type ExplainRequest = RequestOf<typeof explainRequest>;
