import type { DoctorFacts } from "./facts.ts";

/** A problem that keeps steps from running, or may. */
export interface Finding {
  readonly status: "warn" | "fail";
  /** The node, job, workflow or part that has the problem. */
  readonly subject: string;
  /** The known facts, in one sentence. */
  readonly evidence: string;
  /** The fix, in one sentence. */
  readonly fix: string;
}

const findingOf =
  (status: Finding["status"]) =>
  (subject: string, evidence: string, fix: string): Finding => ({ status, subject, evidence, fix });
export const warn = findingOf("warn");
export const fail = findingOf("fail");

/** The result of a check: its findings, or why it was skipped. `ok` is the summary without findings. */
type Answer =
  | { readonly findings: readonly Finding[]; readonly ok: string }
  | { readonly skipped: string };

/** One thing to check when a remote step stays pending. It is pure. */
export type Check = (facts: DoctorFacts) => Answer;

/** An age in its largest whole unit. */
export function since(ms: number | null): string {
  if (ms === null) return "never";
  const seconds = Math.round(ms / 1_000);
  if (seconds < 120) return `${seconds} s ago`;
  return seconds < 7_200
    ? `${Math.floor(seconds / 60)} min ago`
    : `${Math.floor(seconds / 3_600)} h ago`;
}

/** `3 jobs wait`, `1 job waits`, `no job waits`. */
export const waitingOf = (count: number): string =>
  count < 2 ? `${count === 0 ? "no" : count} job waits` : `${count} jobs wait`;

/** `3 nodes`, `1 node`. */
export const countOf = (count: number, noun: string): string =>
  `${count} ${noun}${count === 1 ? "" : "s"}`;
