import {
  areSeparate,
  commandOf,
  type ExecCommand,
  execSteps,
  lengthsOf,
  limits,
  problemOfFileName,
  problemOfPath,
  sizeOf,
} from "@loom/workflow";
import { z } from "zod";
import { clause } from "./explain.ts";
import { itemCounts, jobState, runsAfter, skipReason, waitingReason } from "./jobs.ts";
import { type PageQuery, pageQuery } from "./page.ts";
import { instant, jsonValue, ownKey, type RequestOf } from "./values.ts";
import { allowUnsatisfiable, planVerdictSchema } from "./verdict.ts";

export const runStatus = z.enum(["running", "succeeded", "failed", "cancelled"]);
const runTrigger = z.enum(["api", "manual", "schedule"]);

/** The fields that a run has both in a list and alone. */
const runFacts = {
  id: z.string(),
  workflow: z.string(),
  version: z.string(),
  status: runStatus,
  trigger: runTrigger,
  /** The caller who started it. */
  askedBy: z.string().nullable(),
  /** The run that it repeats. */
  retryOf: z.string().nullable(),
  createdAt: instant,
  finishedAt: instant.nullable(),
  /** Why nothing of it runs; null while a step runs or is about to, and when it is finished. */
  waitingReason,
};

export const runSummarySchema = z
  .object({
    ...runFacts,
    key: z.string().nullable(),
    /** The number of steps in each state. */
    steps: z.partialRecord(jobState, z.int()),
    /** Nodes that have run a step of it. */
    nodes: z.array(z.string()),
  })
  .meta({ id: "RunSummary" });
export type RunSummary = z.output<typeof runSummarySchema>;

const stepSchema = z
  .object({
    id: z.int(),
    step: z.string(),
    state: jobState,
    /** The node that runs or ran it, or that it is offered to. */
    host: z.string().nullable(),
    after: z.array(z.string()),
    runsAfter,
    /** Whether its failure passes: the run can succeed. */
    optional: z.boolean(),
    /** Null unless it was skipped. */
    skipReason: skipReason.nullable(),
    requires: z.array(z.string()),
    attempt: z.int(),
    maxAttempts: z.int(),
    crashRestarts: z.int(),
    items: itemCounts,
    /** Why it has no node while it waits. */
    waitingReason,
    result: z.unknown(),
    error: z.unknown(),
    omittedBytes: z.int().nullable().meta({
      description:
        "The size of the result and the error, if the answer leaves them out because the run's are larger than 4 MiB together. `GET /jobs/{id}` returns them",
    }),
    createdAt: instant,
    startedAt: instant.nullable(),
    finishedAt: instant.nullable(),
    /** From the claim to the end of the last attempt. */
    durationMs: z.int().nullable(),
  })
  .meta({ id: "Step" });
export type RunStep = z.output<typeof stepSchema>;

export const runSchema = z
  .object({
    ...runFacts,
    input: z.unknown(),
    steps: z.array(stepSchema),
  })
  .meta({ id: "Run" });
export type Run = z.output<typeof runSchema>;

export const plannedRunSchema = z
  .object({
    runId: z.string(),
    /** `existing`: the workflow already had a run with this key. */
    returned: z.enum(["created", "existing"]),
    links: z.object({ self: z.string(), events: z.string() }),
    verdict: planVerdictSchema,
  })
  .meta({ id: "PlannedRun" });
/**
 * A run that was started. `verdict` predicts the fate of each step with the nodes of that moment.
 */
export type PlannedRun = z.output<typeof plannedRunSchema>;

export const runQuery = z.strictObject({
  workflow: z.string().max(100).optional(),
  status: runStatus.optional(),
  trigger: runTrigger.optional(),
  askedBy: z.string().max(300).optional(),
  since: z.iso.datetime({ offset: true }).optional(),
  until: z.iso.datetime({ offset: true }).optional(),
  ...pageQuery,
});
/** Filters of a list of runs; `since` and `until` are RFC 3339. */
export type RunQuery = Omit<z.input<typeof runQuery>, keyof PageQuery> & PageQuery;

export const startRequest = z.strictObject({
  input: jsonValue.optional().meta({
    description: "A value that fits the workflow's schema; by default `{}`",
  }),
  key: ownKey.optional().meta({
    description:
      "A workflow has one run with a key while that run is kept: a second request returns that run",
  }),
  allowUnsatisfiable,
});
export type StartRequest = RequestOf<typeof startRequest>;

export const retryRequest = z
  .discriminatedUnion(
    "mode",
    [
      z.strictObject({ mode: z.enum(["all", "failed"]).optional(), allowUnsatisfiable }),
      z.strictObject({
        mode: z.literal("from"),
        step: z.string().min(1).max(100),
        allowUnsatisfiable,
      }),
    ],
    { error: ({ code }) => (code === "invalid_union" ? "must be all, failed or from" : undefined) },
  )
  .meta({
    description:
      "`failed` (the default) repeats the steps that failed and those that depend on them, and takes over the others as they ended; `from` also repeats a step and those that depend on it",
  });
export type RetryRequest = RequestOf<typeof retryRequest>;

export const rerunRequest = z.strictObject({
  input: jsonValue
    .optional()
    .meta({ description: "Replaces the run's input; by default the input is the same" }),
  allowUnsatisfiable,
});
export type RerunRequest = RequestOf<typeof rerunRequest>;

export const cancelledRunSchema = z.object({ status: runStatus });
export type CancelledRun = z.output<typeof cancelledRunSchema>;

const fileName = z
  .string()
  .refine(
    (name) => problemOfFileName(name) === undefined,
    `must be a plain name of 1 to ${limits.fileNameBytes} bytes, without a slash`,
  );
const sha256 = z.string().regex(/^[0-9a-f]{64}$/, "must be a SHA-256 in hex");

/** The longest argument and value: Linux passes no longer one (MAX_ARG_STRLEN). */
const MAX_LENGTH = 131_071;
/** Arguments and values of one command together: about what Linux passes on by default. */
const MAX_TOTAL = 2_097_152;
/** A path to bring back. */
const MAX_OUTPUT = 1_000;

/** An argument or a value of a variable. */
const text = z
  .string()
  .max(MAX_LENGTH)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no system passes it on
  .regex(/^[^\u0000]*$/, "must not have a character U+0000");

const variable = z
  .string()
  .max(limits.nameLength)
  .regex(
    /^(?!LOOM_)[A-Za-z_]\w*$/,
    "must be the name of a variable: letters, digits and underscores, not beginning with a digit or LOOM_",
  );

const values = z.array(text).min(1).max(limits.execArray);

/** Whether something holds for the paths of each command. */
function outputsAre(command: ExecCommand, hold: (paths: readonly string[]) => boolean): boolean {
  // What is too large is refused by another rule.
  if (command.out.length === 0 || sizeOf(command) > limits.execArray) return true;
  if (lengthsOf(command).output > MAX_OUTPUT) return true;
  const paths = { ...command, argv: [], env: {} };
  return execSteps(command).every((step) => hold(commandOf(paths, step)?.out ?? []));
}

/** The input of the built-in workflow `exec`: a command, and where it may run. */
export const execRequest = z
  .strictObject({
    argv: z
      .array(text)
      .min(1)
      .max(limits.execArray)
      .refine(([program]) => program !== "", { path: [0], error: "must name a program" })
      .meta({ description: "A program and its arguments; no shell reads them" }),
    env: z.record(variable, text).default({}).meta({
      description: "Variables that are added to the environment of the node's steps",
    }),
    needs: z
      .array(clause)
      .max(limits.requirements - 1)
      .default([])
      .meta({ description: "Clauses that its node must meet" }),
    host: z
      .string()
      .regex(
        /^[a-z0-9][a-z0-9._-]{0,62}$/,
        "must be a node's name: 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit",
      )
      .nullable()
      .default(null)
      .meta({ description: "Pins it to a node" }),
    timeoutMs: z.int().min(1).max(limits.timerMs).default(limits.timerMs),
    retries: z
      .int()
      .min(0)
      .max(limits.attempts - 1)
      .default(0)
      .meta({
        description: "How often a command that failed, or whose node was lost, is repeated",
      }),
    count: z
      .int()
      .min(1)
      .max(limits.execArray)
      .nullable()
      .default(null)
      .meta({ description: "Makes an array: `{index}` in arguments and values counts from 0" }),
    sweep: z
      .array(
        z.strictObject({
          name: variable.refine((name) => name !== "index", "must not be index, which counts"),
          values,
        }),
      )
      .max(10)
      .default([])
      .meta({ description: "Makes an array of every combination of these values, for `{name}`" }),
    in: z
      .strictObject({ name: fileName, size: z.int().min(0).max(limits.fileBytes), sha256 })
      .nullable()
      .default(null)
      .meta({
        description:
          "An archive (`.tar.gz`) that was uploaded; it is unpacked in the folder in which the command runs",
      }),
    out: z.array(text.max(MAX_OUTPUT)).max(limits.execOutputs).default([]).meta({
      description:
        "Paths in that folder; what is there when the command has ended becomes a file of the run, `out.tar.gz`",
    }),
  })
  .refine(({ count, sweep }) => count === null || sweep.length === 0, {
    path: ["count"],
    error: "must not be given together with sweep",
  })
  .refine(({ sweep }) => new Set(sweep.map(({ name }) => name)).size === sweep.length, {
    path: ["sweep"],
    error: "must not name a variable twice",
  })
  .refine((command) => sizeOf(command) <= limits.execArray, {
    path: ["sweep"],
    error: `must make at most ${limits.execArray} commands`,
  })
  .refine((command) => lengthsOf(command).argument <= MAX_LENGTH, {
    path: ["argv"],
    error: `must have at most ${MAX_LENGTH} characters in each argument and value, with what {name} stands for`,
  })
  .refine((command) => lengthsOf(command).total <= MAX_TOTAL, {
    path: ["argv"],
    error: `must have at most ${MAX_TOTAL} characters in all arguments and values of a command`,
  })
  .refine((command) => lengthsOf(command).output <= MAX_OUTPUT, {
    path: ["out"],
    error: `must be paths of at most ${MAX_OUTPUT} characters, with what {name} stands for`,
  })
  .refine(
    (command) => outputsAre(command, (paths) => paths.every((path) => !problemOfPath(path))),
    {
      path: ["out"],
      error: "must be paths below the folder of the command, such as results or out/model.bin",
    },
  )
  .refine((command) => outputsAre(command, areSeparate), {
    path: ["out"],
    error: "must not name a path twice, or one below another",
  })
  .meta({ id: "ExecRequest" });
export type ExecRequest = RequestOf<typeof execRequest>;

/** A file, as steps and inputs name it. */
export const storedFileSchema = z
  .object({ name: z.string(), size: z.int(), sha256: z.string() })
  .meta({ id: "StoredFile" });

export const runFileSchema = z
  .object({
    name: z.string(),
    /** In bytes. */
    size: z.int(),
    sha256: z.string(),
    /** The store that has it. */
    store: z.string(),
    /** The step that stored it; both null for a file that came with the input. */
    step: z.string().nullable(),
    jobId: z.int().nullable(),
    createdAt: instant,
  })
  .meta({ id: "RunFile" });

export const beginUploadRequest = z.strictObject({
  name: fileName,
  size: z.int().min(0).max(limits.fileBytes),
  sha256,
});

export const uploadSchema = z
  .object({
    id: z.string(),
    /** The part to send next, from 0. */
    next: z.int(),
    /** The size of each part but the last, in bytes. */
    partBytes: z.int(),
  })
  .meta({ id: "Upload" });

export type StoredFile = z.output<typeof storedFileSchema>;
export type RunFile = z.output<typeof runFileSchema>;
export type Upload = z.output<typeof uploadSchema>;
export type BeginUploadRequest = RequestOf<typeof beginUploadRequest>;
