import type { QueueEvent } from "@loom/queue";
import { type HistoryOptions, type HistoryRule, verifyHistory } from "@loom/queue";
import { describe, expect, test } from "vitest";
import {
  cancelled,
  cancelRequested,
  claimed,
  created,
  dead,
  hello,
  offerExpired,
  offered,
  ofRun,
  RUN,
  ready,
  requeued,
  runFinished,
  runStarted,
  settled,
  skipped,
  tell,
} from "../../test/history-support/story.ts";

interface Story {
  title: string;
  events: QueueEvent[];
  options?: HistoryOptions;
  /** Rules that the same story breaks as well. */
  also?: HistoryRule[];
}

/** A job that is offered to forge, claimed and succeeds. */
const plain = [hello("forge"), created(1), offered(1, "forge"), claimed(1, "forge")];
const lost = [...plain, dead("forge"), requeued(1, "forge")];
const back = [hello("forge", 2), offered(1, "forge"), claimed(1, "forge", 2, 2)];

/** Two steps, the second after the first. */
const chain = {
  jobs: [
    { id: 1, runId: RUN, step: "first", after: [] },
    { id: 2, runId: RUN, step: "second", after: ["first"] },
  ],
} satisfies HistoryOptions;
const chainStarted = [runStarted, ...ofRun(created(1, "pending", "forge"), created(2, "blocked"))];
const firstRuns = [hello("forge"), chainStarted, ...ofRun(claimed(1, "forge"))];
const firstSucceeds = ofRun(settled(1, "forge"));
const firstFails = ofRun(settled(1, "forge", { state: "failed" }));
const secondRuns = ofRun(offered(2, "forge"), claimed(2, "forge"));
const secondSucceeds = [...ofRun(settled(2, "forge")), runFinished()];
const readySecond = ofRun(ready(2));
const skippedSecond = ofRun(skipped(2));

/** Three jobs of a key of which two may run, pinned to forge. */
const limited = {
  jobs: [1, 2, 3].map((id) => ({ id, concurrencyKey: "gpu", concurrencyLimit: 2 })),
};
const threePinned = [hello("forge"), ...[1, 2, 3].map((id) => created(id, "pending", "forge"))];

const STORIES: Readonly<Record<HistoryRule, { holds: Story[]; breaks: Story[] }>> = {
  "read-once": {
    holds: [{ title: "events in any order", events: tell(...plain).toReversed() }],
    breaks: [
      { title: "an event twice", events: [...tell(hello("forge")), ...tell(hello("forge"))] },
    ],
  },
  "created-once": {
    holds: [{ title: "a job that waits", events: tell(created(1)) }],
    breaks: [
      { title: "a job that was never created", events: tell(offered(1, "forge")) },
      { title: "a job that was created twice", events: tell(created(1), created(1)) },
    ],
  },
  "final-is-final": {
    holds: [
      { title: "a job that succeeds", events: tell(...plain, settled(1, "forge")) },
      { title: "a job that is cancelled", events: tell(created(1), cancelled(1)) },
    ],
    breaks: [
      {
        title: "a claim of a cancelled job",
        events: tell(
          hello("forge"),
          created(1, "pending", "forge"),
          cancelled(1),
          claimed(1, "forge"),
        ),
      },
      {
        title: "a salvage of a job that failed with its node",
        events: tell(
          ...plain,
          dead("forge"),
          requeued(1, "forge", 1, "failed"),
          settled(1, "forge", { detail: "salvaged" }),
        ),
      },
    ],
  },
  "legal-transition": {
    holds: [
      {
        title: "an offer that expired, and one that was taken",
        events: tell(
          hello("forge"),
          created(1),
          offered(1, "ghost"),
          offerExpired(1, "ghost"),
          offered(1, "forge"),
          claimed(1, "forge"),
          settled(1, "forge", { state: "waiting" }),
        ),
      },
    ],
    breaks: [
      {
        title: "an offer of an offered job",
        events: tell(created(1), offered(1, "a"), offered(1, "b")),
      },
      { title: "a cancel of a running job at once", events: tell(...plain, cancelled(1)) },
      {
        title: "a salvage of a running job",
        events: tell(...plain, settled(1, "forge", { detail: "salvaged" })),
      },
      {
        title: "a settle of an unknown kind",
        events: tell(...plain, settled(1, "forge", { detail: "?" })),
      },
      {
        title: "an accepted settle of a job given back",
        events: tell(...lost, settled(1, "forge")),
      },
      {
        title: "a pinned job that waits for a node",
        events: tell(
          hello("forge"),
          created(1, "pending", "forge"),
          claimed(1, "forge"),
          settled(1, "forge", { state: "waiting" }),
        ),
      },
      { title: "a job that begins as failed", events: tell(created(1, "failed")) },
      { title: "a requeue of a job that waits", events: tell(...lost, requeued(1, "forge")) },
    ],
  },
  "fence-grows": {
    holds: [{ title: "a second claim", events: tell(...lost, ...back) }],
    breaks: [
      {
        title: "a claim without a new fence",
        events: tell(...lost, ...back.slice(0, 2), claimed(1, "forge", 1, 2)),
      },
      {
        title: "a fence that is left out",
        events: tell(...plain.slice(0, 3), claimed(1, "forge", 2)),
      },
    ],
  },
  "claimed-by-target": {
    holds: [
      {
        title: "a claim by the node that a job is pinned to",
        events: tell(hello("forge"), created(1, "pending", "forge"), claimed(1, "forge")),
      },
    ],
    breaks: [
      {
        title: "a claim of another node's offer",
        events: tell(hello("forge"), created(1), offered(1, "oracle"), claimed(1, "forge")),
      },
      {
        title: "a claim of an offer that expired",
        events: tell(
          hello("forge"),
          created(1),
          offered(1, "forge"),
          offerExpired(1, "forge"),
          claimed(1, "forge"),
        ),
        also: ["legal-transition"],
      },
    ],
  },
  "claimed-in-epoch": {
    holds: [{ title: "a claim after a repeated hello", events: tell(hello("forge"), ...plain) }],
    breaks: [
      {
        title: "a claim by an older agent",
        events: tell(...plain.slice(0, 3), hello("forge", 2), claimed(1, "forge")),
      },
      { title: "a claim without a hello", events: tell(...plain.slice(1)) },
    ],
  },
  "claimed-alive": {
    holds: [{ title: "a claim of a node that came back", events: tell(...lost, ...back) }],
    breaks: [
      {
        title: "a claim by a dead node",
        events: tell(...plain.slice(0, 3), dead("forge"), claimed(1, "forge")),
      },
    ],
  },
  "epoch-grows": {
    holds: [
      {
        title: "a repeated hello",
        events: tell(hello("forge"), hello("forge"), hello("forge", 2)),
      },
    ],
    breaks: [
      { title: "a lower epoch", events: tell(hello("forge", 2), hello("forge", 1)) },
      {
        title: "the same epoch after death",
        events: tell(hello("forge"), dead("forge"), hello("forge")),
      },
    ],
  },
  "dies-once": {
    holds: [
      {
        title: "two deaths of two epochs",
        events: tell(hello("forge"), dead("forge"), hello("forge", 2), dead("forge", 2)),
      },
    ],
    breaks: [
      { title: "a second death", events: tell(hello("forge"), dead("forge"), dead("forge")) },
      { title: "a death of an older epoch", events: tell(hello("forge", 2), dead("forge", 1)) },
      { title: "a death before any hello", events: tell(dead("forge")) },
    ],
  },
  "settled-by-owner": {
    holds: [
      {
        title: "a salvage before the next claim",
        events: tell(...lost, settled(1, "forge", { detail: "salvaged" })),
      },
      {
        title: "a settle of the second claim",
        events: tell(...lost, ...back, settled(1, "forge", { fence: 2 })),
      },
    ],
    breaks: [
      {
        title: "an older fence",
        events: tell(...lost, ...back, settled(1, "forge", { fence: 1 })),
      },
      { title: "another node", events: tell(...plain, settled(1, "oracle")) },
      {
        title: "a salvage after a newer claim",
        events: tell(
          ...lost,
          ...back,
          settled(1, "forge", { fence: 2, state: "waiting" }),
          settled(1, "forge", { fence: 1, detail: "salvaged" }),
        ),
      },
      {
        title: "a settle without a claim",
        events: tell(created(1), settled(1, "forge", { detail: "salvaged" })),
      },
    ],
  },
  "settled-once": {
    holds: [
      {
        title: "a settle of each claim",
        events: tell(
          ...plain,
          settled(1, "forge", { state: "waiting" }),
          offered(1, "forge"),
          claimed(1, "forge", 2),
          settled(1, "forge", { fence: 2 }),
        ),
      },
    ],
    breaks: [
      {
        title: "a salvage of what was settled as a retry",
        events: tell(
          ...plain,
          settled(1, "forge", { state: "waiting" }),
          settled(1, "forge", { detail: "salvaged" }),
        ),
      },
    ],
  },
  "cancelled-on-request": {
    holds: [
      {
        title: "a failure after the request",
        events: tell(
          ...plain,
          cancelRequested(1, "forge"),
          settled(1, "forge", { state: "cancelled" }),
        ),
      },
    ],
    breaks: [
      {
        title: "a failure without one",
        events: tell(...plain, settled(1, "forge", { state: "cancelled" })),
      },
      {
        title: "a lost node without one",
        events: tell(...plain, dead("forge"), requeued(1, "forge", 1, "cancelled")),
      },
    ],
  },
  "requeued-when-lost": {
    holds: [
      { title: "a dead node", events: tell(...lost) },
      { title: "a newer agent", events: tell(...plain, [hello("forge", 2), requeued(1, "forge")]) },
      {
        title: "a deadline",
        events: tell(...plain, ...Array(62).fill(hello("oracle")), requeued(1, "forge")),
      },
    ],
    breaks: [
      { title: "a node that is alive", events: tell(...plain, requeued(1, "forge")) },
      {
        title: "a claim that came after the loss",
        events: tell(...lost, ...back, requeued(1, "forge", 1)),
      },
      {
        title: "a node that does not hold the job",
        events: tell(...plain, hello("oracle"), dead("oracle"), requeued(1, "oracle")),
      },
    ],
  },
  "losses-bounded": {
    holds: [
      {
        title: "one loss more than allowed, which fails the job",
        events: tell(...lost, ...back, dead("forge", 2), requeued(1, "forge", 2, "failed")),
        options: { jobs: [{ id: 1, maxCrashRestarts: 1 }] },
      },
    ],
    breaks: [
      {
        title: "another start beyond it",
        events: tell(...lost, ...back, dead("forge", 2), requeued(1, "forge", 2)),
        options: { jobs: [{ id: 1, maxCrashRestarts: 1 }] },
      },
      {
        title: "a failure before it",
        events: tell(...plain, dead("forge"), requeued(1, "forge", 1, "failed")),
        options: { jobs: [{ id: 1, maxCrashRestarts: 1 }] },
      },
    ],
  },
  "limit-kept": {
    holds: [
      {
        title: "two of three, and the third when one ended",
        events: tell(
          ...threePinned,
          claimed(1, "forge"),
          claimed(2, "forge"),
          settled(1, "forge"),
          claimed(3, "forge"),
        ),
        options: limited,
      },
    ],
    breaks: [
      {
        title: "three at a time",
        events: tell(...threePinned, claimed(1, "forge"), claimed(2, "forge"), claimed(3, "forge")),
        options: limited,
      },
    ],
  },
  "ready-with-needs": {
    holds: [
      {
        title: "a step after the one it needs",
        events: tell(
          ...firstRuns,
          [...firstSucceeds, ...readySecond],
          ...secondRuns,
          secondSucceeds,
        ),
        options: chain,
      },
      {
        title: "a repeated run that took a result over",
        events: tell([
          runStarted,
          ...ofRun(created(2, "waiting"), created(1, "succeeded", "forge")),
        ]),
        options: chain,
      },
    ],
    breaks: [
      {
        title: "a step before the one it needs",
        events: tell(...firstRuns, readySecond),
        options: chain,
      },
      {
        title: "a step after one that failed",
        events: tell(...firstRuns, [...firstFails, ...readySecond]),
        options: chain,
      },
      {
        title: "a step that is born ready",
        events: tell([runStarted, ...ofRun(created(1), created(2))]),
        options: chain,
      },
    ],
  },
  "skipped-with-needs": {
    holds: [
      {
        title: "a step after one that failed",
        events: tell(...firstRuns, [...firstFails, ...skippedSecond, runFinished("failed")]),
        options: chain,
      },
    ],
    breaks: [
      {
        title: "a step whose need runs",
        events: tell(...firstRuns, skippedSecond),
        options: chain,
      },
    ],
  },
  "never-stuck": {
    holds: [{ title: "a step whose need runs", events: tell(...firstRuns), options: chain }],
    breaks: [
      {
        title: "a step whose need succeeded",
        events: tell(...firstRuns, firstSucceeds),
        options: chain,
      },
      { title: "a step whose need failed", events: tell(...firstRuns, firstFails), options: chain },
    ],
  },
  "run-starts-once": {
    holds: [{ title: "a run with its steps", events: tell(chainStarted) }],
    breaks: [
      { title: "steps without a run", events: tell(ofRun(created(1))) },
      { title: "a run that started twice", events: tell([...chainStarted, runStarted]) },
      { title: "a step before its run", events: tell(ofRun(created(1)), [runStarted]) },
    ],
  },
  "run-finishes-with-last-step": {
    holds: [
      {
        title: "a run whose steps are cancelled together",
        events: tell(chainStarted, [
          ...ofRun(cancelled(1), cancelled(2)),
          runFinished("cancelled"),
        ]),
      },
    ],
    breaks: [
      {
        title: "a run that never finishes",
        events: tell(chainStarted, ofRun(cancelled(1), cancelled(2))),
      },
      {
        title: "a run that finishes before its last step",
        events: tell(chainStarted, [...ofRun(cancelled(1)), runFinished("cancelled")]),
      },
      {
        title: "a run that finishes in a transaction of its own",
        events: tell(chainStarted, ofRun(cancelled(1), cancelled(2)), runFinished("cancelled")),
      },
      {
        title: "a run that finishes twice",
        events: tell(chainStarted, [
          ...ofRun(cancelled(1), cancelled(2)),
          runFinished("cancelled"),
          runFinished("cancelled"),
        ]),
      },
    ],
  },
  "run-status-follows": {
    holds: [
      {
        title: "a failed step and a cancelled one",
        events: tell(...firstRuns, ofRun(cancelled(2)), [...firstFails, runFinished("failed")]),
      },
    ],
    breaks: [
      {
        title: "a success with a cancelled step",
        events: tell(chainStarted, [...ofRun(cancelled(1), cancelled(2)), runFinished()]),
      },
      {
        title: "a cancelled run with a failed step",
        events: tell(...firstRuns, ofRun(cancelled(2)), [...firstFails, runFinished("cancelled")]),
      },
    ],
  },
  "accepted-is-kept": {
    holds: [
      { title: "a job and a run", events: tell(chainStarted), options: { accepted: [1, RUN] } },
    ],
    breaks: [
      { title: "a job that vanished", events: tell(created(1)), options: { accepted: [1, 2] } },
      { title: "a run that vanished", events: tell(created(1)), options: { accepted: [1, RUN] } },
    ],
  },
  "all-drained": {
    holds: [
      {
        title: "a job that ended",
        events: tell(created(1), cancelled(1)),
        options: { drained: true },
      },
    ],
    breaks: [{ title: "a job that waits", events: tell(created(1)), options: { drained: true } }],
  },
  "row-agrees": {
    holds: [
      {
        title: "a row like its history",
        events: tell(created(1)),
        options: { jobs: [{ id: 1, state: "waiting" }] },
      },
    ],
    breaks: [
      {
        title: "a row in another state",
        events: tell(created(1)),
        options: { jobs: [{ id: 1, state: "failed" }] },
      },
      {
        title: "a row without a history",
        events: [],
        options: { jobs: [{ id: 1, state: "waiting" }] },
      },
    ],
  },
};

const cases = Object.entries(STORIES).flatMap(([name, { holds, breaks }]) => [
  ...holds.map((story) => ({ ...story, name, finds: [] as string[] })),
  ...breaks.map((story) => ({ ...story, name, finds: [name, ...(story.also ?? [])] })),
]);

describe("verifyHistory", () => {
  test.for(cases.filter(({ finds }) => finds.length === 0))(
    "$name holds for $title",
    ({ events, options }) => {
      expect(verifyHistory(events, options)).toEqual([]);
    },
  );

  test.for(cases.filter(({ finds }) => finds.length > 0))(
    "$name is broken by $title",
    ({ events, options, finds }) => {
      const rules = new Set(verifyHistory(events, options).map(({ rule }) => rule));
      expect([...rules].toSorted()).toEqual(finds.toSorted());
    },
  );

  test("says where it found what", () => {
    expect(verifyHistory(tell(...plain, settled(1, "oracle")))).toEqual([
      {
        rule: "settled-by-owner",
        message: "job.settled: by oracle with fence 1; the newest claim is forge's with 1",
        jobId: 1,
        node: "oracle",
        seq: 5,
      },
    ]);
  });
});
