import { verifyHistory } from "@loom/queue/verify";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CORRUPTIONS } from "../../../test/history-support/corruption.ts";
import { makeHistory } from "../../../test/history-support/model.ts";

const history = fc
  .array(fc.nat({ max: 9_999 }), { minLength: 20, maxLength: 100, size: "max" })
  .map(makeHistory);

describe("verifyHistory", () => {
  test("accepts every history that the state machine allows, in any order of reading", () => {
    fc.assert(
      fc.property(history, fc.nat(), ({ events, jobs }, cut) => {
        const accepted = jobs.map(({ id }) => id);
        const [first, second] = [events.slice(0, cut), events.slice(cut)];
        const read = [...second, ...first];
        expect(verifyHistory(read, { jobs, accepted, drained: true })).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test.for(CORRUPTIONS)("finds $title", ({ suits, become }) => {
    fc.assert(
      fc.property(history, fc.nat(), ({ events, jobs }, choice) => {
        const suited = events.filter((event) => suits(event, events));
        const spoilt = suited[choice % suited.length];
        fc.pre(spoilt !== undefined);
        const corrupt = events.flatMap((event) =>
          event === spoilt ? become(event, events) : [event],
        );
        expect(verifyHistory(corrupt, { jobs, drained: true })).not.toEqual([]);
      }),
    );
  });

  test("finds a job that vanished", () => {
    fc.assert(
      fc.property(history, fc.nat(), ({ events, jobs }, choice) => {
        const accepted = jobs.map(({ id }) => id);
        const lost = accepted[choice % accepted.length];
        const rest = events.filter(({ jobId }) => jobId !== lost);
        const rules = verifyHistory(rest, { accepted }).map(({ rule }) => rule);
        expect(rules).toContain("accepted-is-kept");
      }),
    );
  });
});
