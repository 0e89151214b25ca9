import type { TakenDelivery } from "@loom/queue";
import { describe, expect, test } from "vitest";
import { describeOccurrence, pathOf } from "./message.ts";

type Occurrence = Pick<TakenDelivery, "rule" | "subject" | "facts">;

const failed: Occurrence = {
  rule: "run.failed",
  subject: "4f",
  facts: {
    workflow: "nightly-train",
    run: "4f",
    schedule: "nightly-train",
    startedAt: "2026-11-30T02:30:00.000Z",
    step: "fit",
    node: "tower",
    error: '{"name":"Error","message":"CUDA out of memory"}',
  },
};

describe("a message", () => {
  test.for<{ occurrence: Occurrence; title: string; text: string; path: string }>([
    {
      occurrence: failed,
      title: "nightly-train failed",
      text: "Step fit failed on tower: CUDA out of memory\nRun 4f, started by its schedule at 2026-11-30 02:30 UTC.",
      path: "/runs/4f",
    },
    {
      occurrence: {
        rule: "run.recovered",
        subject: "nightly-train",
        facts: { workflow: "nightly-train", run: "5a", failedAt: "2026-11-30T02:40:00Z" },
      },
      title: "nightly-train works again",
      text: "Run 5a succeeded. The one before it failed at 2026-11-30 02:40 UTC.",
      path: "/runs/5a",
    },
    {
      occurrence: {
        rule: "step.waiting",
        subject: "train",
        facts: {
          workflow: "train",
          step: "fit",
          job: 7,
          run: null,
          steps: 3,
          since: "2026-11-30T10:00:00Z",
          reason: "no known node has has-gpu",
        },
      },
      title: "train waits",
      text: "Step fit has waited since 2026-11-30 10:00 UTC, and 2 more of this workflow wait as well.\nno known node has has-gpu",
      path: "/explain?job=7",
    },
    {
      occurrence: {
        rule: "approval.asked",
        subject: "42",
        facts: {
          workflow: "order",
          run: "5a",
          step: "ship",
          job: 42,
          question: "Ship the order?",
          who: ["ada", "ben@example.org"],
          expiresAt: "2026-12-03T10:00:00Z",
        },
      },
      title: "order asks: Ship the order?",
      text: "Step ship waits for a person until 2026-12-03 10:00 UTC.\nIt may be decided by ada, ben@example.org.\nRun 5a, approval 42.",
      path: "/approvals",
    },
    {
      occurrence: {
        rule: "node.lost",
        subject: "tower",
        facts: { node: "tower", lastSeenAt: "2026-11-30T10:00:00Z" },
      },
      title: "tower is lost",
      text: "The machine was last heard of at 2026-11-30 10:00 UTC. Its steps go to other machines.",
      path: "/nodes/tower",
    },
    {
      occurrence: {
        rule: "schedule.missed",
        subject: "nightly",
        facts: { slots: 2, lastAt: "2026-11-30T02:30:00Z", reason: "all hubs were away" },
      },
      title: "nightly missed 2 times of its schedule",
      text: "No run started for 2026-11-30 02:30 UTC: all hubs were away.",
      path: "/schedules",
    },
    {
      occurrence: { rule: "test", subject: "chat", facts: { askedBy: "ada" } },
      title: "Test of chat",
      text: "ada sent this to see whether it arrives.",
      path: "/notifications/chat",
    },
  ])("says what happened: $occurrence.rule", ({ occurrence, title, text, path }) => {
    expect(describeOccurrence(occurrence)).toEqual({ title, text });
    expect(pathOf(occurrence)).toBe(path);
  });

  test("has one line as its title and no control character, whatever the text of an error is", () => {
    const facts = {
      workflow: "a\r\nBcc: eve@example.org\u0000\u202e",
      step: "b",
      error: JSON.stringify({ message: `one\u0007\r\ntwo${"x".repeat(5_000)}` }),
    };
    const { title, text } = describeOccurrence({ rule: "run.failed", subject: "4f", facts });
    expect(title).toBe("a Bcc: eve@example.org  failed");
    expect(text).not.toMatch(/[^\P{C}\n]/u);
    expect(text.length).toBeLessThan(2_500);
  });

  test.for([
    { error: "not JSON", says: "not JSON" },
    { error: '{"mess', says: '{"mess' },
    { error: "null", says: "null" },
    { error: undefined, says: "no error is known" },
  ])("takes an error that is $error", ({ error, says }) => {
    const facts = { workflow: "a", step: "b", ...(error !== undefined && { error }) };
    const { text } = describeOccurrence({ rule: "run.failed", subject: "4f", facts });
    expect(text).toContain(`Step b failed: ${says}`);
  });

  test("can be made from facts that are none", () => {
    for (const facts of [null, 7, "x", [], {}]) {
      for (const rule of ["run.failed", "step.waiting", "schedule.missed"] as const) {
        expect(describeOccurrence({ rule, subject: "a", facts }).title).not.toBe("");
        expect(pathOf({ rule, subject: "a", facts })).toMatch(/^\//);
      }
    }
  });
});
