import type { NewJob } from "../jobs.ts";

/** A job of its own, from what matters to a test. */
export const makeJob = (rest: Partial<NewJob> = {}): NewJob => ({
  workflow: "made-for-test",
  step: "only",
  input: {},
  ...rest,
});
