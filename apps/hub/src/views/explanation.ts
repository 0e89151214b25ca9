import { z } from "@hono/zod-openapi";
import type { Explanation } from "@loom/scheduler";
import { didYouMean } from "./verdict.ts";

const nodeVerdict = z.enum([
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
  /** Against `ability` waiting does not help; against `availability` it may. */
  about: z.enum(["ability", "availability"]),
  code: z.string(),
  reason: z.string(),
  clause: z.string().optional(),
  seen: z.array(z.string()).optional(),
});

const nodeReport = z.object({
  node: z.string(),
  verdict: nodeVerdict,
  /** From 0 to 1; null where something speaks against it. */
  score: z.number().nullable(),
  failures: z.array(failure),
  clauses: z.array(z.object({ clause: z.string(), met: z.boolean(), seen: z.array(z.string()) })),
});

/** Every filter and every clause, asked of every node. */
export const explanationView = z
  .object({
    code: z.string(),
    summary: z.string(),
    known: z.int(),
    eligible: z.int(),
    clauses: z.array(z.object({ clause: z.string(), met: z.int() })),
    /** Clauses that no known node meets. */
    missing: z.array(z.string()),
    /** By name; none where more than 50 are known: see `groups`, or ask about one node. */
    nodes: z.array(nodeReport),
    /** Nodes that the same things speak against, the largest group first, each with up to eight names. */
    groups: z.array(
      z.object({
        verdict: nodeVerdict,
        failures: z.array(failure),
        count: z.int(),
        nodes: z.array(z.string()),
      }),
    ),
    /** The node that least speaks against; null when one takes it, and when none is known. */
    nearest: nodeReport.pick({ node: true, verdict: true, failures: true }).nullable(),
    /** One change after which a node takes it; null when one does now, and when none is known. */
    fix: z.string().nullable(),
    didYouMean,
  })
  .openapi("Explanation");

export type ExplanationView = z.output<typeof explanationView>;

export const toExplanationView = ({ fix, ...explanation }: Explanation): ExplanationView =>
  explanationView.parse({ ...explanation, fix: fix?.action ?? null });
