import { describe, expect, test } from "vitest";
import { openLab } from "./history-support/lab.ts";
import { MUTATIONS } from "./history-support/mutations.ts";
import { runWorkload } from "./history-support/verdict.ts";

// The same workload without a mutation breaks no rule: history.test.ts.
describe("the history checker", () => {
  test.for(MUTATIONS)("notices when $title", async (mutation) => {
    const lab = await openLab(mutation);
    const { violations } = await runWorkload(lab, 1);
    expect(violations.map(({ rule }) => rule)).toEqual(
      expect.arrayContaining([...mutation.caughtBy]),
    );
  });
});
