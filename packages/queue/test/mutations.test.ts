import { describe, expect, test } from "vitest";
import { openLab } from "./history-support/lab.ts";
import { MUTATIONS } from "./history-support/mutations.ts";
import { provokeAll } from "./history-support/workload.ts";

// The same provocations without a mutation break no rule, with a storm besides: history.test.ts.
describe("the history checker", () => {
  test.for(MUTATIONS)("notices when $title", async (mutation) => {
    const lab = await openLab(mutation);
    const { violations, rows } = await provokeAll(lab);
    expect(violations.map(({ rule }) => rule)).toEqual(
      expect.arrayContaining([...mutation.caughtBy]),
    );
    if (mutation.rows) expect(rows).toContainEqual(expect.stringMatching(mutation.rows));
  });
});
