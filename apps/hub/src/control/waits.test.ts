import { pino } from "pino";
import { describe, expect, test } from "vitest";
import { createFaults } from "./faults.ts";
import { createWaitLoop } from "./waits.ts";

describe("the loop of waits", () => {
  test.for([
    { wasWoken: false, ended: 0, says: 0 },
    { wasWoken: false, ended: 1, says: 1 },
    // A signal may have made a condition due, which ends nothing yet.
    { wasWoken: true, ended: 0, says: 1 },
  ])(
    "leaves the hub at rest when it only looked: $ended ended, woken $wasWoken",
    async ({ wasWoken, ended, says }) => {
      let said = 0;
      const { round } = createWaitLoop({
        queue: { endWaits: async () => ({ ended, more: false, failed: [] }) },
        faults: createFaults({ log: pino({ level: "silent" }) }),
        onEnded: () => (said += 1),
      });
      expect(await round(1, { wasWoken })).toBe(60_000);
      expect(said).toBe(says);
    },
  );
});
