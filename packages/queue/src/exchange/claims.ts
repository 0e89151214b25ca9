import type { JsonValue } from "@loom/workflow";
import { z } from "zod";
import { readJson, row } from "../transport/rows.ts";

/** A job that this node now owns. Every later call about it carries `id` and `fence`. */
export interface ClaimedJob {
  id: number;
  fence: number;
  /** Null: a single job without a run. */
  runId: string | null;
  workflow: string;
  step: string;
  requires: string[];
  /** Counts from 1. */
  attempt: number;
  maxAttempts: number;
  /** How long the attempt may take, in milliseconds. */
  timeoutMs: number;
  /** The workflow's version when the run was planned; empty for a job without a run. */
  version: string;
  /** The trace of the request that added it: https://www.w3.org/TR/trace-context */
  traceparent: string | null;
  /** The run's input, parsed when the run was planned; or the single job's input. */
  input: JsonValue;
  /** Set for an item of a step that maps over a list: the item, and its place in the list from 0. */
  item?: { value: JsonValue; index: number };
  /** What an earlier attempt kept for this one. */
  checkpoint?: JsonValue;
  /** The results of the steps that it needs, by step name. */
  results: Record<string, JsonValue>;
}

/** A job that this node owns but cannot run, because its stored input or results cannot be read. */
export interface UnreadableClaim {
  /** The job without input and results. */
  job: ClaimedJob;
  problem: string;
}

export type ClaimAnswer =
  | {
      session: "live";
      /** The last number that brought jobs. The next claim takes a higher one. */
      seq: number;
      /** Whether further jobs are due, which one answer could not hold: claim again at once. */
      more: boolean;
      jobs: ClaimedJob[];
      /** Jobs that the node now owns too, but whose stored input or results cannot be read. */
      unreadable: UnreadableClaim[];
    }
  | { session: "dead" | "superseded" };

const texts = z.array(z.string().nullable());

/** The jobs of a claim in columns; what they have in common is beside them, once. */
const claimedColumns = z.object({
  id: z.array(z.int()),
  fence: z.array(z.int()),
  attempt: z.array(z.int()),
  spec: z.array(z.int()),
  input: texts,
  run: texts.nullish(),
  traceparent: texts.nullish(),
  /** The places of items in their lists; null for other jobs. */
  index: z.array(z.int().nullable()).nullish(),
});

const live = z.object({
  session: z.literal("live"),
  seq: z.int(),
  more: z.boolean().nullish(),
  jobs: claimedColumns.nullish(),
  specs: z
    .record(
      z.string(),
      row(
        z.object({
          workflow: z.string(),
          step: z.string(),
          requires: z.array(z.string()),
          maxAttempts: z.int(),
          timeoutMs: z.int(),
        }),
      ),
    )
    .nullish(),
  runs: z.record(z.string(), z.object({ version: z.string(), input: z.string() })).nullish(),
  wide: z
    .record(
      z.string(),
      z.object({
        input: z.string().nullable(),
        results: z.record(z.string(), z.string().nullable()).nullable(),
      }),
    )
    .nullish(),
  checkpoints: z.record(z.string(), z.string()).nullish(),
});

export const claimAnswer = z.discriminatedUnion("session", [
  live,
  z.object({ session: z.enum(["dead", "superseded"]) }),
]);

/**
 * Puts the jobs of a claim together. Each job's texts are parsed by themselves, so that a bad one affects no
 * other.
 */
export function toClaim(answer: z.output<typeof claimAnswer>): ClaimAnswer {
  if (answer.session !== "live") return answer;
  const { seq, more, jobs: columns, specs, runs, wide, checkpoints } = answer;
  const jobs: ClaimedJob[] = [];
  const unreadable: UnreadableClaim[] = [];
  for (const [at, id] of columns?.id.entries() ?? []) {
    const { fence, attempt, spec, input, run, traceparent, index } = columns as NonNullable<
      typeof columns
    >;
    const known = specs?.[String(spec[at])];
    const runId = run?.[at] ?? null;
    const of = runId === null ? undefined : runs?.[runId];
    const apart = wide?.[String(id)];
    const place = index?.[at] ?? null;
    // An item is stored as the input of its job. The step gets the run's input besides.
    const own = input[at] ?? apart?.input;
    const kept = checkpoints?.[String(id)];
    const problems: string[] = [];
    const read = (what: string, text: string | null | undefined): JsonValue => {
      const found =
        text === null || text === undefined ? { problem: "it is missing" } : readJson(text);
      if ("value" in found) return found.value;
      problems.push(`${what} cannot be read: ${found.problem}`);
      return null;
    };
    const job: ClaimedJob = {
      id,
      fence: fence[at] as number,
      runId,
      workflow: known?.workflow ?? "",
      version: of?.version ?? "",
      step: known?.step ?? "",
      requires: known?.requires ?? [],
      attempt: attempt[at] as number,
      maxAttempts: known?.maxAttempts ?? 1,
      timeoutMs: known?.timeoutMs ?? 1,
      traceparent: traceparent?.[at] ?? null,
      input: read("its input", place === null ? (own ?? of?.input) : of?.input),
      ...(place !== null && { item: { value: read("its item", own), index: place } }),
      ...(kept !== undefined && { checkpoint: read("its checkpoint", kept) }),
      results: Object.fromEntries(
        Object.entries(apart?.results ?? {}).map(([step, text]) => [
          step,
          read(`the result of ${step}`, text),
        ]),
      ),
    };
    if (known === undefined) problems.push("its specification is missing");
    if (problems.length === 0) jobs.push(job);
    else
      unreadable.push({ job: { ...job, input: null, results: {} }, problem: problems.join("; ") });
  }
  return { session: "live", seq, more: more ?? false, jobs, unreadable };
}
