import {
  type Approval,
  type ApprovalDecision,
  type Job,
  queueOver,
  type Settlement,
  type SettlementAnswer,
  type Transport,
} from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { type CallsRule, type RecordedCall, recordCalls, verifyCalls } from "@loom/queue/verify";
import { describe, expect, test } from "vitest";
import { RUN } from "../../../test/history-support/story.ts";

/** Calls one after the other; a list of calls is under way together. */
function called(...calls: (Call | Call[])[]): RecordedCall[] {
  return calls.flatMap((together, second) =>
    [together].flat().map((call) => ({ startedAt: second, endedAt: second + 0.5, ...call })),
  );
}
type Call = RecordedCall extends infer Each
  ? Each extends RecordedCall
    ? Omit<Each, "startedAt" | "endedAt">
    : never
  : never;

/** A claim of forge, and what it brought: ids and fences. */
const claim = (
  seq: number,
  jobs: [id: number, fence: number, checkpoint?: string][],
  node = "forge",
): Call => ({
  method: "claim",
  args: [
    { node, epoch: 1 },
    { seq, limit: 9 },
  ],
  answer: {
    session: "live",
    seq,
    more: false,
    jobs: jobs.map(([id, fence, checkpoint]) => ({
      ...work,
      id,
      fence,
      ...(checkpoint !== undefined && { checkpoint }),
    })),
    unreadable: [],
  },
});
const work = {
  runId: null,
  workflow: "w",
  version: "",
  step: "s",
  requires: [],
  attempt: 1,
  maxAttempts: 1,
  timeoutMs: 1,
  traceparent: null,
  input: null,
  results: {},
};

type Said = SettlementAnswer["answer"];
const settle = (item: Settlement, answer: Said, state: string | null = null): Call => ({
  method: "settle",
  args: ["forge", [item]],
  answer: [{ id: item.id, fence: item.fence, answer, state }],
});
const save = (fence: number, seq: number, value: string, node = "forge"): Call => ({
  method: "saveCheckpoint",
  args: [
    { node, id: 1, fence },
    { seq, json: JSON.stringify(value) },
  ],
  answer: "accepted",
});
const success = (fence = 1, result = "done"): Settlement => ({
  id: 1,
  fence,
  outcome: "succeeded",
  result,
});
const failure: Settlement = { id: 1, fence: 1, outcome: "failed", error: "boom" };

const enqueue = (key: string, id: number, returned: "created" | "existing"): Call => ({
  method: "enqueue",
  args: [[{ workflow: "w", step: "s", input: 1, key }]],
  answer: [{ id, returned }],
});
const start = (key: string, runId: string, returned: "created" | "existing"): Call => ({
  method: "startRun",
  args: [makePlan([{ step: "s" }]), { key }],
  answer: { runId, returned },
});
const hello = (incarnation: string, epoch: number): Call => ({
  method: "hello",
  args: [{ name: "forge", incarnation, leaseMs: 3_000, capabilities: [], slots: 1 }],
  answer: { epoch, leaseMs: 3_000, requeued: 0, database: "7d0f6a3e-1df2-4a1c-9a7e-7d3c0f8a2b11" },
});

const read = (job: Partial<Job>): Call => ({
  method: "getJob",
  args: [1],
  answer: { id: 1, ...job } as Job,
});
const cut = (call: Call): Call => ({ ...call, answer: null }) as Call;

const decide = (decision: Partial<ApprovalDecision> = {}, who: string[] = []): Call => ({
  method: "decideApproval",
  args: [
    1,
    { decision: "approved", digest: "shown", by: "token ada", names: ["ada"], ...decision },
  ],
  answer: { id: 1, digest: "shown", who } as Partial<Approval> as Approval,
});

interface Story {
  title: string;
  calls: RecordedCall[];
}

const STORIES: Readonly<Record<CallsRule, { holds: Story[]; breaks: Story[] }>> = {
  "answered-in-order": {
    holds: [{ title: "an answer for its item", calls: called(settle(success(), "stale")) }],
    breaks: [
      {
        title: "an answer for another fence",
        calls: called({
          method: "settle",
          args: ["forge", [success(2)]],
          answer: [{ id: 1, fence: 1, answer: "stale", state: null }],
        }),
      },
      {
        title: "too few answers",
        calls: called({
          method: "enqueue",
          args: [[{ workflow: "w", step: "s", input: 1 }]],
          answer: [],
        }),
      },
    ],
  },
  "claim-names-one-owner": {
    holds: [
      {
        title: "a newer fence for another node",
        calls: called(claim(1, [[1, 1]]), claim(1, [[1, 2]], "oracle")),
      },
    ],
    breaks: [
      {
        title: "one fence for two nodes",
        calls: called(claim(1, [[1, 1]]), claim(1, [[1, 1]], "oracle")),
      },
      { title: "one fence for two claims", calls: called(claim(1, [[1, 1]]), claim(2, [[1, 1]])) },
    ],
  },
  "checkpoint-is-the-owners": {
    holds: [
      {
        title: "of the attempt that holds the job, also while it is settled",
        calls: called(claim(1, [[1, 1]]), [
          save(1, 1, "a"),
          settle(success(), "accepted", "succeeded"),
        ]),
      },
    ],
    breaks: [
      {
        title: "after the next claim",
        calls: called(claim(1, [[1, 1]]), claim(2, [[1, 2]]), save(1, 1, "a")),
      },
      {
        title: "after its settle",
        calls: called(
          claim(1, [[1, 1]]),
          settle(success(), "accepted", "succeeded"),
          save(1, 1, "a"),
        ),
      },
      { title: "of another node", calls: called(claim(1, [[1, 1]]), save(1, 1, "a", "oracle")) },
    ],
  },
  "checkpoint-is-kept": {
    holds: [
      {
        title: "the newest, whatever came late",
        calls: called(save(1, 1, "a"), save(1, 2, "b"), save(1, 1, "a"), claim(2, [[1, 2, "b"]])),
      },
      {
        title: "one that was under way",
        calls: called(save(1, 1, "a"), [save(1, 2, "b"), claim(2, [[1, 2, "b"]])]),
      },
      { title: "one from elsewhere", calls: called(claim(1, [[1, 1, "of a copy"]])) },
    ],
    breaks: [
      { title: "none", calls: called(save(1, 1, "a"), claim(2, [[1, 2]])) },
      {
        title: "an older one",
        calls: called(save(1, 1, "a"), save(1, 2, "b"), claim(2, [[1, 2, "a"]])),
      },
      {
        title: "one of an older attempt",
        calls: called(save(1, 3, "a"), save(2, 1, "b"), claim(3, [[1, 3, "a"]])),
      },
    ],
  },
  "repeated-claim-agrees": {
    holds: [
      {
        title: "a claim that brought nothing first, and less at the end",
        calls: called(
          claim(1, []),
          claim(1, [
            [1, 1],
            [2, 1],
          ]),
          claim(1, [[1, 1]]),
        ),
      },
      {
        title: "copies under way together",
        calls: called([
          claim(1, [[1, 1]]),
          claim(1, [
            [1, 1],
            [2, 1],
          ]),
        ]),
      },
      {
        title: "an answer that was lost",
        calls: called(cut(claim(1, [[9, 1]])), claim(1, [[1, 1]])),
      },
    ],
    breaks: [
      {
        title: "a copy that brings more",
        calls: called(
          claim(1, [[1, 1]]),
          claim(1, [
            [1, 1],
            [2, 1],
          ]),
        ),
      },
      {
        title: "copies that bring different jobs",
        calls: called([claim(1, [[1, 1]]), claim(1, [[2, 1]])]),
      },
    ],
  },
  "decided-as-shown": {
    holds: [
      { title: "a decision that is repeated", calls: called(decide(), decide()) },
      { title: "a decision of one that is named", calls: called(decide({}, ["ada", "ben"])) },
    ],
    breaks: [
      { title: "a decision about something else", calls: called(decide({ digest: "other" })) },
      { title: "a decision of one that is not named", calls: called(decide({}, ["ben"])) },
      {
        title: "two decisions",
        calls: called(decide(), decide({ decision: "rejected" })),
      },
    ],
  },
  "settled-once-per-claim": {
    holds: [
      {
        title: "a duplicate",
        calls: called(settle(failure, "accepted"), settle(failure, "duplicate")),
      },
    ],
    breaks: [
      {
        title: "a second record",
        calls: called(settle(failure, "accepted", "waiting"), settle(success(), "salvaged")),
      },
    ],
  },
  "succeeded-once": {
    holds: [
      {
        title: "a success after a failure",
        calls: called(settle(failure, "accepted"), settle(success(2), "accepted")),
      },
    ],
    breaks: [
      {
        title: "two successes",
        calls: called(settle(success(1), "accepted"), settle(success(2), "salvaged")),
      },
    ],
  },
  "key-names-one": {
    holds: [
      {
        title: "a repeated call",
        calls: called(enqueue("k", 1, "created"), enqueue("k", 1, "existing")),
      },
      {
        title: "a call whose first answer was lost",
        calls: called(cut(start("k", RUN, "created")), start("k", RUN, "existing")),
      },
    ],
    breaks: [
      {
        title: "two jobs of one key",
        calls: called(enqueue("k", 1, "created"), enqueue("k", 2, "created")),
      },
      {
        title: "two runs of one key",
        calls: called(start("k", RUN, "created"), start("k", "other", "existing")),
      },
      {
        title: "a job that is created twice",
        calls: called(enqueue("k", 1, "created"), enqueue("k", 1, "created")),
      },
    ],
  },
  "epoch-names-one-agent": {
    holds: [
      {
        title: "a repeated hello, and a new agent",
        calls: called(hello("a", 1), hello("a", 1), hello("b", 2)),
      },
    ],
    breaks: [{ title: "two agents in one epoch", calls: called(hello("a", 1), hello("b", 1)) }],
  },
  "result-is-kept": {
    holds: [
      {
        title: "the result that was recorded",
        calls: called(
          settle(success(), "accepted", "succeeded"),
          read({ state: "succeeded", result: "done" }),
        ),
      },
      {
        title: "what was read before",
        calls: called(read({ state: "running" }), settle(success(), "accepted", "succeeded")),
      },
      {
        title: "a retry",
        calls: called(settle(failure, "accepted", "waiting"), read({ state: "running" })),
      },
    ],
    breaks: [
      {
        title: "another result",
        calls: called(
          settle(success(), "accepted", "succeeded"),
          read({ state: "succeeded", result: "else" }),
        ),
      },
      {
        title: "another state",
        calls: called(settle(success(), "accepted", "succeeded"), read({ state: "cancelled" })),
      },
    ],
  },
};

const cases = Object.entries(STORIES).flatMap(([name, { holds, breaks }]) => [
  ...holds.map((story) => ({ ...story, name, finds: [] as string[] })),
  ...breaks.map((story) => ({ ...story, name, finds: [name] })),
]);

/** A queue whose functions give these answers, or fail. */
const queueThat = (call: Transport["call"]) => queueOver({ call });

describe("recordCalls", () => {
  test("records a call with its answer, and a failed call without one", async () => {
    const calls: RecordedCall[] = [];
    const answers = [
      { epoch: 1, lease_ms: 3_000, requeued: 0, database: "7d0f6a3e-1df2-4a1c-9a7e-7d3c0f8a2b11" },
    ];
    const queue = recordCalls(
      queueThat(async () => answers.pop() ?? Promise.reject(new Error("cut"))),
      (call) => calls.push(call),
    );
    const report = { name: "forge", incarnation: "a", leaseMs: 3_000, capabilities: [], slots: 1 };
    await queue.hello(report);
    await expect(queue.hello(report)).rejects.toThrow("cut");

    expect(calls).toMatchObject([
      { method: "hello", args: [report], answer: { epoch: 1 } },
      { method: "hello", args: [report], answer: null },
    ]);
    expect(calls.every(({ startedAt, endedAt }) => startedAt <= endedAt)).toBe(true);
  });
});

describe("verifyCalls", () => {
  test.for(cases.filter(({ finds }) => finds.length === 0))(
    "$name holds for $title",
    ({ calls }) => {
      expect(verifyCalls(calls)).toEqual([]);
    },
  );

  test.for(cases.filter(({ finds }) => finds.length > 0))(
    "$name is broken by $title",
    ({ calls, finds }) => {
      expect([...new Set(verifyCalls(calls).map(({ rule }) => rule))]).toEqual(finds);
    },
  );
});
