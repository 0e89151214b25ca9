import { z } from "zod";
import { runStatuses } from "../runs.ts";
import type { Call } from "../transport/call.ts";
import { instant, readJson, row, rows } from "../transport/rows.ts";
import { queueEvent } from "./events.ts";

/** What happened while nobody looked. */
export interface Summaries {
  /**
   * What happened in the last `pastMs`: how runs ended, failures with their causes, nodes that were away, times
   * of schedules that started nothing, and the newest events.
   *
   * Each part is bounded: 10 000 runs and slots are counted, and the newest 50 of each kind listed.
   *
   * @param pastMs - Up to a week.
   * @see sql/summary.sql
   */
  summarize(pastMs: number): Promise<Summary>;
}

export const summaries = (call: Call): Summaries => ({
  summarize: (pastMs) => call("loom_summarize", { p_past_ms: pastMs }, row(summary)),
});

const MAX_ERROR_LENGTH = 300;

/** The first line of a stored error's message, of which only the beginning may be there. */
function firstLineOf(error: string): string {
  const read = readJson(error);
  const value = "value" in read ? read.value : messageIn(error);
  const message =
    typeof value === "object" && value !== null && "message" in value ? value.message : value;
  const text = typeof message === "string" ? message : JSON.stringify(message);
  const [line = ""] = text.trim().split(/\r?\n/, 1);
  return line.slice(0, MAX_ERROR_LENGTH).toWellFormed();
}

/** The message in JSON that was cut off. */
function messageIn(error: string): string {
  const [, message] = /"message"\s*:\s*"((?:[^"\\]|\\.)*)/.exec(error) ?? [];
  const read = readJson(`"${message ?? ""}"`);
  return "value" in read && read.value !== "" ? String(read.value) : error;
}

const failure = z.object({
  runId: z.string(),
  workflow: z.string(),
  at: instant,
  /** The step that failed first, and where it ran last; null where no step did. */
  step: z.string().nullable(),
  node: z.string().nullable(),
  attempt: z.int().nullable(),
  /** The first line of its error. */
  error: z
    .string()
    .transform((text) => firstLineOf(text))
    .nullable(),
  /** The newest run that repeats it. */
  repeatedAs: z.string().nullable(),
  repeatedStatus: z.enum(runStatuses).nullable(),
});

const absence = z.object({
  node: z.string(),
  from: instant,
  /** Null while it is away. */
  until: instant.nullable(),
});

const unstarted = z.object({
  scheduleId: z.string(),
  decision: z.enum(["missed", "skipped"]),
  code: z.string().nullable(),
  reason: z.string().nullable(),
  count: z.int(),
  firstAt: instant,
  lastAt: instant,
});

const namedEvent = queueEvent.extend({
  /** The workflow and the step of its job or run, while that is kept. */
  workflow: z.string().nullable(),
  step: z.string().nullable(),
});

const summary = z.object({
  since: instant,
  /** How many runs ended, by outcome. */
  runs: z.partialRecord(z.enum(runStatuses), z.int()),
  failures: rows(failure),
  absences: rows(absence),
  slots: rows(unstarted),
  events: rows(namedEvent),
});
export type Summary = z.output<typeof summary>;
