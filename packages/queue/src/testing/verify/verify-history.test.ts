import type { QueueEvent } from "@loom/queue";
import { type HistoryOptions, type HistoryRule, verifyHistory } from "@loom/queue/verify";
import { describe, expect, test } from "vitest";
import {
  cancelled,
  cancelRequested,
  claimed,
  created,
  dead,
  hello,
  historyOf,
  item,
  keyRevoked,
  mapped,
  offerExpired,
  offered,
  ofRun,
  RUN,
  ready,
  requeued,
  resumed,
  runFinished,
  runStarted,
  settled,
  skipped,
  suspended,
  woken,
} from "../../../test/history-support/story.ts";

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

/** A step of two items, of which one may run at a time, pinned to forge. */
const mapping = { jobs: [{ id: 1, items: { total: 2, tolerated: 0, concurrency: 1 } }] };
const expanded = [
  hello("forge"),
  created(1, "mapping"),
  item(2, 1, "pending"),
  item(3, 1, "blocked"),
  claimed(2, "forge"),
];
const firstItemEnds = [settled(2, "forge"), ready(3, "pending")];
const secondItemEnds = [claimed(3, "forge"), [settled(3, "forge"), mapped(1)]];

const STORIES: Readonly<Record<HistoryRule, { holds: Story[]; breaks: Story[] }>> = {
  "read-once": {
    holds: [{ title: "events in any order", events: historyOf(...plain).toReversed() }],
    breaks: [
      {
        title: "an event twice",
        events: [...historyOf(hello("forge")), ...historyOf(hello("forge"))],
      },
    ],
  },
  "created-once": {
    holds: [{ title: "a job that waits", events: historyOf(created(1)) }],
    breaks: [
      { title: "a job that was never created", events: historyOf(offered(1, "forge")) },
      { title: "a job that was created twice", events: historyOf(created(1), created(1)) },
    ],
  },
  "final-is-final": {
    holds: [
      { title: "a job that succeeds", events: historyOf(...plain, settled(1, "forge")) },
      { title: "a job that is cancelled", events: historyOf(created(1), cancelled(1)) },
    ],
    breaks: [
      {
        title: "a claim of a cancelled job",
        events: historyOf(
          hello("forge"),
          created(1, "pending", "forge"),
          cancelled(1),
          claimed(1, "forge"),
        ),
      },
      {
        title: "a salvage of a job that failed with its node",
        events: historyOf(
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
        events: historyOf(
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
        events: historyOf(created(1), offered(1, "a"), offered(1, "b")),
      },
      { title: "a cancel of a running job at once", events: historyOf(...plain, cancelled(1)) },
      {
        title: "a salvage of a running job",
        events: historyOf(...plain, settled(1, "forge", { detail: "salvaged" })),
      },
      {
        title: "a settle of an unknown kind",
        events: historyOf(...plain, settled(1, "forge", { detail: "?" })),
      },
      {
        title: "an accepted settle of a job given back",
        events: historyOf(...lost, settled(1, "forge")),
      },
      {
        title: "a pinned job that waits for a node",
        events: historyOf(
          hello("forge"),
          created(1, "pending", "forge"),
          claimed(1, "forge"),
          settled(1, "forge", { state: "waiting" }),
        ),
      },
      { title: "a job that begins as failed", events: historyOf(created(1, "failed")) },
      { title: "a requeue of a job that waits", events: historyOf(...lost, requeued(1, "forge")) },
    ],
  },
  "fence-grows": {
    holds: [{ title: "a second claim", events: historyOf(...lost, ...back) }],
    breaks: [
      {
        title: "a claim without a new fence",
        events: historyOf(...lost, ...back.slice(0, 2), claimed(1, "forge", 1, 2)),
      },
      {
        title: "a fence that is left out",
        events: historyOf(...plain.slice(0, 3), claimed(1, "forge", 2)),
      },
    ],
  },
  "claimed-by-target": {
    holds: [
      {
        title: "a claim by the node that a job is pinned to",
        events: historyOf(hello("forge"), created(1, "pending", "forge"), claimed(1, "forge")),
      },
    ],
    breaks: [
      {
        title: "a claim of another node's offer",
        events: historyOf(hello("forge"), created(1), offered(1, "oracle"), claimed(1, "forge")),
      },
      {
        title: "a claim of an offer that expired",
        events: historyOf(
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
    holds: [
      { title: "a claim after a repeated hello", events: historyOf(hello("forge"), ...plain) },
    ],
    breaks: [
      {
        title: "a claim by an older agent",
        events: historyOf(...plain.slice(0, 3), hello("forge", 2), claimed(1, "forge")),
      },
      { title: "a claim without a hello", events: historyOf(...plain.slice(1)) },
    ],
  },
  "claimed-alive": {
    holds: [{ title: "a claim of a node that came back", events: historyOf(...lost, ...back) }],
    breaks: [
      {
        title: "a claim by a dead node",
        events: historyOf(...plain.slice(0, 3), dead("forge"), claimed(1, "forge")),
      },
    ],
  },
  "condition-decides": {
    holds: [
      {
        title: "a step that waits for its condition, and then for a node",
        events: historyOf(created(1, "blocked"), suspended(1), resumed(1)),
        options: { jobs: [{ id: 1, hasCondition: true }] },
      },
    ],
    breaks: [
      {
        title: "a step that is ready at once",
        events: historyOf(created(1, "blocked"), ready(1)),
        options: { jobs: [{ id: 1, hasCondition: true }] },
      },
    ],
  },
  "waits-without-node": {
    holds: [
      {
        title: "a step that waits for a person",
        events: historyOf(created(1, "blocked"), suspended(1), woken(1)),
        options: { jobs: [{ id: 1, waitsFor: "approval" }] },
      },
    ],
    breaks: [
      {
        title: "a step that sleeps and is there for a node",
        events: historyOf(created(1, "blocked"), ready(1)),
        options: { jobs: [{ id: 1, waitsFor: "sleep" }] },
      },
    ],
  },
  "sleeps-long-enough": {
    holds: [
      {
        title: "a step that sleeps for its time",
        events: historyOf(
          created(1, "blocked"),
          { ...suspended(1), at: new Date(0) },
          woken(1, new Date(60_000)),
        ),
        options: { jobs: [{ id: 1, waitsFor: "sleep", sleepMs: 60_000 }] },
      },
    ],
    breaks: [
      {
        title: "a step that is woken too early",
        events: historyOf(
          created(1, "blocked"),
          { ...suspended(1), at: new Date(0) },
          woken(1, new Date(30_000)),
        ),
        options: { jobs: [{ id: 1, waitsFor: "sleep", sleepMs: 60_000 }] },
      },
    ],
  },
  "epoch-grows": {
    holds: [
      {
        title: "a repeated hello",
        events: historyOf(hello("forge"), hello("forge"), hello("forge", 2)),
      },
    ],
    breaks: [
      { title: "a lower epoch", events: historyOf(hello("forge", 2), hello("forge", 1)) },
      {
        title: "the same epoch after death",
        events: historyOf(hello("forge"), dead("forge"), hello("forge")),
      },
    ],
  },
  "dies-once": {
    holds: [
      {
        title: "two deaths of two epochs",
        events: historyOf(hello("forge"), dead("forge"), hello("forge", 2), dead("forge", 2)),
      },
    ],
    breaks: [
      { title: "a second death", events: historyOf(hello("forge"), dead("forge"), dead("forge")) },
      {
        title: "a death of an older epoch",
        events: historyOf(hello("forge", 2), dead("forge", 1)),
      },
      { title: "a death before any hello", events: historyOf(dead("forge")) },
    ],
  },
  "revoked-session-ends": {
    holds: [
      {
        title: "a key whose session ended, and one that opened none",
        events: historyOf(
          hello("forge"),
          dead("forge"),
          keyRevoked("forge"),
          hello("forge", 2),
          keyRevoked("forge", null),
        ),
      },
    ],
    breaks: [
      { title: "a session that goes on", events: historyOf(hello("forge"), keyRevoked("forge")) },
    ],
  },
  "settled-by-owner": {
    holds: [
      {
        title: "a salvage before the next claim",
        events: historyOf(...lost, settled(1, "forge", { detail: "salvaged" })),
      },
      {
        title: "a settle of the second claim",
        events: historyOf(...lost, ...back, settled(1, "forge", { fence: 2 })),
      },
    ],
    breaks: [
      {
        title: "an older fence",
        events: historyOf(...lost, ...back, settled(1, "forge", { fence: 1 })),
      },
      { title: "another node", events: historyOf(...plain, settled(1, "oracle")) },
      {
        title: "a salvage after a newer claim",
        events: historyOf(
          ...lost,
          ...back,
          settled(1, "forge", { fence: 2, state: "waiting" }),
          settled(1, "forge", { fence: 1, detail: "salvaged" }),
        ),
      },
      {
        title: "a settle without a claim",
        events: historyOf(created(1), settled(1, "forge", { detail: "salvaged" })),
      },
    ],
  },
  "settled-once": {
    holds: [
      {
        title: "a settle of each claim",
        events: historyOf(
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
        events: historyOf(
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
        events: historyOf(
          ...plain,
          cancelRequested(1, "forge"),
          settled(1, "forge", { state: "cancelled" }),
        ),
      },
    ],
    breaks: [
      {
        title: "a failure without one",
        events: historyOf(...plain, settled(1, "forge", { state: "cancelled" })),
      },
      {
        title: "a lost node without one",
        events: historyOf(...plain, dead("forge"), requeued(1, "forge", 1, "cancelled")),
      },
    ],
  },
  "requeued-when-lost": {
    holds: [
      { title: "a dead node", events: historyOf(...lost) },
      {
        title: "a newer agent",
        events: historyOf(...plain, [hello("forge", 2), requeued(1, "forge")]),
      },
      {
        title: "a deadline",
        events: historyOf(...plain, ...Array(62).fill(hello("oracle")), requeued(1, "forge")),
      },
    ],
    breaks: [
      { title: "a node that is alive", events: historyOf(...plain, requeued(1, "forge")) },
      {
        title: "a claim that came after the loss",
        events: historyOf(...lost, ...back, requeued(1, "forge", 1)),
      },
      {
        title: "a node that does not hold the job",
        events: historyOf(...plain, hello("oracle"), dead("oracle"), requeued(1, "oracle")),
      },
    ],
  },
  "losses-bounded": {
    holds: [
      {
        title: "one loss more than allowed, which fails the job",
        events: historyOf(...lost, ...back, dead("forge", 2), requeued(1, "forge", 2, "failed")),
        options: { jobs: [{ id: 1, maxCrashRestarts: 1 }] },
      },
    ],
    breaks: [
      {
        title: "another start beyond it",
        events: historyOf(...lost, ...back, dead("forge", 2), requeued(1, "forge", 2)),
        options: { jobs: [{ id: 1, maxCrashRestarts: 1 }] },
      },
      {
        title: "a failure before it",
        events: historyOf(...plain, dead("forge"), requeued(1, "forge", 1, "failed")),
        options: { jobs: [{ id: 1, maxCrashRestarts: 1 }] },
      },
    ],
  },
  "limit-kept": {
    holds: [
      {
        title: "two of three, and the third when one ended",
        events: historyOf(
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
        events: historyOf(
          ...threePinned,
          claimed(1, "forge"),
          claimed(2, "forge"),
          claimed(3, "forge"),
        ),
        options: limited,
      },
    ],
  },
  "ready-with-needs": {
    holds: [
      {
        title: "a step after the one it needs",
        events: historyOf(
          ...firstRuns,
          [...firstSucceeds, ...readySecond],
          ...secondRuns,
          secondSucceeds,
        ),
        options: chain,
      },
      {
        title: "a repeated run that took a result over",
        events: historyOf([
          runStarted,
          ...ofRun(created(2, "waiting"), created(1, "succeeded", "forge")),
        ]),
        options: chain,
      },
    ],
    breaks: [
      {
        title: "a step before the one it needs",
        events: historyOf(...firstRuns, readySecond),
        options: chain,
      },
      {
        title: "a step after one that failed",
        events: historyOf(...firstRuns, [...firstFails, ...readySecond]),
        options: chain,
      },
      {
        title: "a step that is born ready",
        events: historyOf([runStarted, ...ofRun(created(1), created(2))]),
        options: chain,
      },
    ],
  },
  "skipped-with-needs": {
    holds: [
      {
        title: "a step after one that failed",
        events: historyOf(...firstRuns, [...firstFails, ...skippedSecond, runFinished("failed")]),
        options: chain,
      },
    ],
    breaks: [
      {
        title: "a step whose need runs",
        events: historyOf(...firstRuns, skippedSecond),
        options: chain,
      },
    ],
  },
  "never-stuck": {
    holds: [{ title: "a step whose need runs", events: historyOf(...firstRuns), options: chain }],
    breaks: [
      {
        title: "a step whose need succeeded",
        events: historyOf(...firstRuns, firstSucceeds),
        options: chain,
      },
      {
        title: "a step whose need failed",
        events: historyOf(...firstRuns, firstFails),
        options: chain,
      },
    ],
  },
  "items-while-mapping": {
    holds: [
      {
        title: "items of a step that is mapping",
        events: historyOf(...expanded, firstItemEnds, ...secondItemEnds),
        options: mapping,
      },
    ],
    breaks: [
      {
        title: "an item of a step that has ended",
        events: historyOf(...expanded, firstItemEnds, ...secondItemEnds, item(4, 1, "pending")),
        also: ["mapped-with-items"],
      },
    ],
  },
  "mapped-with-items": {
    holds: [
      {
        title: "a step that ends with its last item",
        events: historyOf(...expanded, firstItemEnds, ...secondItemEnds),
        options: mapping,
      },
      {
        title: "a step whose list is empty, and one whose list cannot be used",
        events: historyOf(
          created(1, "mapping"),
          mapped(1),
          created(2, "mapping"),
          mapped(2, "failed"),
        ),
        options: { jobs: [{ id: 1, items: { total: 0, tolerated: 0, concurrency: null } }] },
      },
    ],
    breaks: [
      {
        title: "a step that ends before an item",
        events: historyOf(...expanded, [...firstItemEnds, mapped(1, "cancelled")]),
        options: mapping,
      },
      {
        title: "a step that ends after its last item",
        events: historyOf(
          ...expanded,
          firstItemEnds,
          claimed(3, "forge"),
          settled(3, "forge"),
          mapped(1),
        ),
        options: mapping,
      },
      {
        title: "a step that succeeds with an item that failed",
        events: historyOf(...expanded, firstItemEnds, claimed(3, "forge"), [
          settled(3, "forge", { state: "failed" }),
          mapped(1),
        ]),
        options: mapping,
      },
    ],
  },
  "item-limit-kept": {
    holds: [
      {
        title: "one item after the other",
        events: historyOf(...expanded, firstItemEnds, ...secondItemEnds),
        options: mapping,
      },
    ],
    breaks: [
      {
        title: "two items at once",
        events: historyOf(...expanded, ready(3, "pending"), claimed(3, "forge")),
        options: mapping,
      },
    ],
  },
  "run-starts-once": {
    holds: [{ title: "a run with its steps", events: historyOf(chainStarted) }],
    breaks: [
      { title: "steps without a run", events: historyOf(ofRun(created(1))) },
      { title: "a run that started twice", events: historyOf([...chainStarted, runStarted]) },
      { title: "a step before its run", events: historyOf(ofRun(created(1)), [runStarted]) },
    ],
  },
  "run-finishes-with-last-step": {
    holds: [
      {
        title: "a run whose steps are cancelled together",
        events: historyOf(chainStarted, [
          ...ofRun(cancelled(1), cancelled(2)),
          runFinished("cancelled"),
        ]),
      },
    ],
    breaks: [
      {
        title: "a run that never finishes",
        events: historyOf(chainStarted, ofRun(cancelled(1), cancelled(2))),
      },
      {
        title: "a run that finishes before its last step",
        events: historyOf(chainStarted, [...ofRun(cancelled(1)), runFinished("cancelled")]),
      },
      {
        title: "a run that finishes in a transaction of its own",
        events: historyOf(
          chainStarted,
          ofRun(cancelled(1), cancelled(2)),
          runFinished("cancelled"),
        ),
      },
      {
        title: "a run that finishes twice",
        events: historyOf(chainStarted, [
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
        events: historyOf(...firstRuns, ofRun(cancelled(2)), [
          ...firstFails,
          runFinished("failed"),
        ]),
      },
    ],
    breaks: [
      {
        title: "a success with a cancelled step",
        events: historyOf(chainStarted, [...ofRun(cancelled(1), cancelled(2)), runFinished()]),
      },
      {
        title: "a cancelled run with a failed step",
        events: historyOf(...firstRuns, ofRun(cancelled(2)), [
          ...firstFails,
          runFinished("cancelled"),
        ]),
      },
    ],
  },
  "accepted-is-kept": {
    holds: [
      {
        title: "a job and a run",
        events: historyOf(chainStarted),
        options: { accepted: [1, RUN] },
      },
    ],
    breaks: [
      {
        title: "a job that vanished",
        events: historyOf(created(1)),
        options: { accepted: [1, 2] },
      },
      {
        title: "a run that vanished",
        events: historyOf(created(1)),
        options: { accepted: [1, RUN] },
      },
    ],
  },
  "all-drained": {
    holds: [
      {
        title: "a job that ended",
        events: historyOf(created(1), cancelled(1)),
        options: { drained: true },
      },
    ],
    breaks: [
      { title: "a job that waits", events: historyOf(created(1)), options: { drained: true } },
    ],
  },
  "row-agrees": {
    holds: [
      {
        title: "a row like its history",
        events: historyOf(created(1)),
        options: { jobs: [{ id: 1, state: "waiting" }] },
      },
    ],
    breaks: [
      {
        title: "a row in another state",
        events: historyOf(created(1)),
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

  test("reports the place of each violation", () => {
    expect(verifyHistory(historyOf(...plain, settled(1, "oracle")))).toEqual([
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
