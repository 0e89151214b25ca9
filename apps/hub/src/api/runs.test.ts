import { runSchema } from "@loom/client/schemas";
import type { Job, Run } from "@loom/queue";
import { describe, expect, test } from "vitest";
import { toRun } from "./runs.ts";

const AT = {
  created: new Date("2026-11-23T10:00:00Z"),
  claimed: new Date("2026-11-23T10:00:01Z"),
  finished: new Date("2026-11-23T10:00:03.500Z"),
};

const shared = {
  id: 7,
  runId: "run",
  workflow: "deploy",
  step: "build",
  item: null,
  items: null,
  after: ["fetch"],
  runsAfter: "success" as const,
  optional: false,
  requires: ["docker"],
  hostPinned: false,
  pinnedTo: null,
  priority: 100,
  attempt: 1,
  maxAttempts: 3,
  crashRestarts: 0,
  runAt: AT.created,
  createdAt: AT.created,
  ranOn: null,
  error: null,
  omittedBytes: null,
  key: null,
  payload: null,
  startBy: null,
  declinedBy: [],
  crashedOn: [],
  concurrencyKey: null,
  concurrencyLimit: null,
};

const run = (...jobs: Job[]): Run => ({
  id: "run",
  workflow: "deploy",
  version: "v1",
  input: { ref: "main" },
  rawInput: {},
  trigger: "api",
  askedBy: null,
  retryOf: null,
  waitingReason: null,
  createdAt: AT.created,
  status: "running",
  jobs,
});

const waitingReason = { code: "no_capable_node", summary: "no known node offers docker" };
const placement = null;
const error = { message: "boom" };

describe("toRun", () => {
  test("shows a run in flight without its end", () => {
    expect(toRun(run())).toEqual({
      id: "run",
      workflow: "deploy",
      version: "v1",
      status: "running",
      trigger: "api",
      askedBy: null,
      retryOf: null,
      waitingReason: null,
      input: { ref: "main" },
      createdAt: "2026-11-23T10:00:00.000Z",
      finishedAt: null,
      steps: [],
    });
  });

  test("shows when a run ended", () => {
    const ended: Run = { ...run(), status: "failed", finishedAt: AT.finished };
    expect(toRun(ended)).toMatchObject({
      status: "failed",
      finishedAt: "2026-11-23T10:00:03.500Z",
    });
  });

  test("shows every field of a step", () => {
    const job: Job = {
      ...shared,
      state: "succeeded",
      ranOn: "forge",
      targetHost: "forge",
      placement,
      claimedAt: AT.claimed,
      finishedAt: AT.finished,
      result: { digest: "abc" },
    };
    expect(toRun(run(job)).steps).toEqual([
      {
        id: 7,
        step: "build",
        state: "succeeded",
        host: "forge",
        after: ["fetch"],
        runsAfter: "success",
        optional: false,
        skipReason: null,
        requires: ["docker"],
        attempt: 1,
        maxAttempts: 3,
        crashRestarts: 0,
        waitingReason: null,
        result: { digest: "abc" },
        error: null,
        items: null,
        omittedBytes: null,
        createdAt: "2026-11-23T10:00:00.000Z",
        startedAt: "2026-11-23T10:00:01.000Z",
        finishedAt: "2026-11-23T10:00:03.500Z",
        durationMs: 2_500,
      },
    ]);
  });

  const none = {
    host: null,
    waitingReason: null,
    result: null,
    error: null,
    startedAt: null,
    finishedAt: null,
    durationMs: null,
  };
  const started = { startedAt: AT.claimed.toISOString() };
  const ended = { ...started, finishedAt: AT.finished.toISOString(), durationMs: 2_500 };
  test.for<{ title: string; job: Job; view: object }>([
    { title: "a blocked step", job: { ...shared, state: "blocked" }, view: none },
    {
      title: "a waiting step that ran before, with why it waits",
      job: { ...shared, state: "waiting", ranOn: "forge", error, waitingReason },
      view: { ...none, error, waitingReason },
    },
    {
      title: "a pending step, with the node that it is offered to",
      job: {
        ...shared,
        state: "pending",
        ranOn: "forge",
        targetHost: "anvil",
        waitingReason: null,
        placement,
      },
      view: { ...none, host: "anvil" },
    },
    {
      title: "a running step",
      job: {
        ...shared,
        state: "running",
        ranOn: "forge",
        targetHost: "forge",
        placement,
        fence: 1,
        claimedAt: AT.claimed,
        cancelRequestedAt: null,
      },
      view: { ...none, host: "forge", ...started },
    },
    {
      title: "a failed step",
      job: {
        ...shared,
        state: "failed",
        ranOn: "forge",
        error,
        claimedAt: AT.claimed,
        finishedAt: AT.finished,
      },
      view: { ...none, host: "forge", error, ...ended },
    },
    {
      title: "a step that was cancelled before it ran",
      job: { ...shared, state: "cancelled", claimedAt: null, finishedAt: AT.finished },
      view: { ...none, finishedAt: AT.finished.toISOString() },
    },
    {
      title: "a skipped step",
      job: { ...shared, state: "skipped", finishedAt: AT.finished, skipReason: "need_failed" },
      view: { ...none, skipReason: "need_failed", finishedAt: AT.finished.toISOString() },
    },
  ])("shows $title", ({ job, view }) => {
    const shown = toRun(run(job));
    expect(shown.steps[0]).toMatchObject(view);
    expect(runSchema.parse(shown)).toEqual(shown);
  });
});
