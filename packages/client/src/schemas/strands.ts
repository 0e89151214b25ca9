import { z } from "zod";
import { runsAfter } from "./jobs.ts";
import { instant } from "./values.ts";
import { planVerdictSchema } from "./verdict.ts";

/** A workflow file, or a part of one, that the hub cannot use. */
const workflowProblemSchema = z
  .object({
    file: z.string(),
    /**
     * Line and column count from 1; null when they are unknown, for example for a file whose import
     * never ends.
     */
    line: z.int().nullable(),
    column: z.int().nullable(),
    /** The lines around the place, with a mark. */
    frame: z.string().nullable(),
    message: z.string(),
    fix: z.string().optional(),
  })
  .meta({ id: "WorkflowProblem" });
export type WorkflowProblem = z.output<typeof workflowProblemSchema>;

const strandSummarySchema = z
  .object({
    name: z.string(),
    /** Changes with the code and the options of its steps. */
    version: z.string(),
    /** In the workflow's order. */
    steps: z.array(z.object({ name: z.string(), after: z.array(z.string()) })),
    requires: z.array(z.string()),
    schedule: z
      .object({ expression: z.string(), timeZone: z.string(), input: z.unknown() })
      .nullable(),
    /** For how long its finished runs are kept, in milliseconds; failed ones and cancelled ones alike. */
    retention: z.object({ succeededMs: z.int(), failedMs: z.int() }),
    /** The hooks that it notifies by itself, by rule. The doctor names those that do not exist. */
    notify: z.record(z.string(), z.array(z.string())),
    /** While a workflow is paused, its steps are neither placed nor claimed. */
    paused: z.object({ note: z.string().nullable(), since: instant }).nullable(),
  })
  .meta({ id: "StrandSummary" });
export type StrandSummary = z.output<typeof strandSummarySchema>;

const stepDefinition = z
  .object({
    name: z.string(),
    after: z.array(z.string()),
    runsAfter,
    /** Whether its failure passes: the run can succeed. */
    optional: z.boolean(),
    requires: z.array(z.string()),
    /** The node that it is pinned to; `from input` if each run's input decides. */
    host: z.string().nullable(),
    prefers: z.union([
      z.literal("from input"),
      z.array(z.object({ clause: z.string(), weight: z.number() })),
    ]),
    priority: z.int(),
    timeoutMs: z.int(),
    attempts: z.int(),
    maxCrashRestarts: z.int(),
    /** How long it is worth starting after it becomes ready. */
    startWithinMs: z.int().nullable(),
    concurrency: z
      .union([z.literal("from input"), z.object({ key: z.string(), limit: z.int() })])
      .nullable(),
    map: z
      .object({
        over: z.string(),
        key: z.string().nullable(),
        concurrency: z.int().nullable(),
        tolerate: z.union([z.int(), z.string()]).nullable(),
      })
      .nullable()
      .meta({ description: "Set for a step that has a job for each item of a list" }),
  })
  .meta({ id: "StepDefinition" });

export const strandSchema = z
  .object({
    ...strandSummarySchema.shape,
    steps: z.array(stepDefinition),
    /** JSON Schema of the input; `{}` where JSON Schema cannot express it. */
    inputSchema: z.record(z.string(), z.unknown()),
    /**
     * The prediction for each step with the current nodes. It ignores a host that depends on the
     * input.
     */
    canRun: planVerdictSchema,
  })
  .meta({ id: "Strand" });
/** A workflow; the API's paths call workflows strands. */
export type Strand = z.output<typeof strandSchema>;

export const strandListSchema = z.object({
  data: z.array(strandSummarySchema),
  /** Workflow files, or parts of them, that cannot be used. */
  problems: z.array(workflowProblemSchema),
  /** Files that are still being imported. */
  loading: z.array(z.string()),
});
export type StrandList = z.output<typeof strandListSchema>;
