import type { DoctorFacts } from "./facts.ts";

/** Something that keeps steps from running, or may. */
export interface Finding {
  readonly status: "warn" | "fail";
  /** The node, job, workflow or part that it is about. */
  readonly subject: string;
  /** What is known of it, as one sentence. */
  readonly evidence: string;
  /** What somebody would do about it. */
  readonly fix: string;
}

/** What a check came to: what was found, or that all is well, or that it could not be asked. */
type Answer =
  | { readonly findings: readonly Finding[]; readonly ok: string }
  | { readonly skipped: string };

/** One question that a person would ask when a remote step stays pending. Pure. */
export interface Check {
  /** Stable, `kebab-case`. */
  readonly name: string;
  readonly examine: (facts: DoctorFacts) => Answer;
}

/** How long something has been so, in its largest whole unit. */
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
