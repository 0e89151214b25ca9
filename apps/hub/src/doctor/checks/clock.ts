import type { Check } from "../check.ts";

const WARN_MS = 2_000;
/** From here on, keys that expire may be refused as not good yet, or any more. */
const FAIL_MS = 60_000;

/**
 * The hub's clock agrees with the database's. All decisions use the database's, so a hub that is off
 * decides nothing wrong; what it shows and logs is. Nodes do not tell their clocks.
 */
export const clock: Check = {
  name: "clock",
  examine: ({ database: { aheadMs, roundTripMs } }) => {
    const certainMs = Math.max(0, Math.abs(aheadMs) - roundTripMs / 2);
    if (certainMs < WARN_MS) {
      return { ok: `within ${Math.ceil(Math.abs(aheadMs) + roundTripMs / 2)} ms`, findings: [] };
    }
    const way = aheadMs > 0 ? "behind" : "ahead of";
    return {
      ok: "",
      findings: [
        {
          status: certainMs < FAIL_MS ? ("warn" as const) : ("fail" as const),
          subject: "hub",
          evidence: `its clock is at least ${(certainMs / 1_000).toFixed(1)} s ${way} the database's`,
          fix: "set the hub's clock by NTP: timedatectl set-ntp true",
        },
      ],
    };
  },
};
