import type { JobWait } from "@loom/queue";
import { expect, test } from "vitest";
import { explainJob } from "./explain-job.ts";

test("a suspended step says what it waits for, and looks for no node", () => {
  const waitingReason = { code: "condition", summary: "a hub has to evaluate its condition" };
  const wait = { job: { id: 7, state: "suspended", waitingReason }, openSteps: [], dueInMs: 0 };
  expect(explainJob(wait as unknown as JobWait, [])).toMatchObject({
    state: "suspended",
    ...waitingReason,
    holds: [],
    explanation: null,
  });
});
