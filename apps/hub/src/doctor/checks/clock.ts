import type { Check } from "../check.ts";
import type { DoctorFacts } from "../facts.ts";

const WARN_MS = 2_000;
/** From here on, keys that expire may be refused as not good yet, or any more. */
const FAIL_MS = 60_000;

/** What a machine's clock is ahead of the database's. */
interface Skew {
  subject: string;
  aheadMs: number;
  /** It may be as much more, or less. */
  withinMs: number;
}

/**
 * The clocks of the hub and of nodes agree with the database's. All decisions use that one, so a machine
 * that is off decides nothing wrong; what its steps and logs say of the time is.
 *
 * Nodes tell theirs when their doorbell is rung. One without a doorbell, or of an older version, is not
 * known, and that is no fault.
 */
export const clock: Check = {
  name: "clock",
  examine: (facts) => {
    const skews = skewsOf(facts);
    const findings = skews.flatMap(({ subject, aheadMs, withinMs }) => {
      const certainMs = Math.abs(aheadMs) - withinMs;
      if (certainMs < WARN_MS) return [];
      const way = aheadMs > 0 ? "ahead of" : "behind";
      const machine = subject === "hub" ? "the hub's machine" : subject;
      return [
        {
          status: certainMs < FAIL_MS ? ("warn" as const) : ("fail" as const),
          subject,
          evidence: `its clock is at least ${(certainMs / 1_000).toFixed(1)} s ${way} the database's`,
          fix: `set the clock of ${machine} by NTP: timedatectl set-ntp true, or install chrony`,
        },
      ];
    });
    const mostMs = Math.max(...skews.map(({ aheadMs, withinMs }) => Math.abs(aheadMs) + withinMs));
    const told = new Set(skews.map(({ subject }) => subject));
    const unknown = facts.nodes.map(({ name }) => name).filter((name) => !told.has(name));
    const known = `${[...told].join(", ")} within ${Math.ceil(mostMs)} ms`;
    const ok = unknown.length === 0 ? known : `${known}; not told by ${unknown.join(", ")}`;
    return { ok, findings };
  },
};

function skewsOf({ database, rings }: DoctorFacts): Skew[] {
  const halfWayMs = database.roundTripMs / 2;
  const hub = { subject: "hub", aheadMs: -database.aheadMs, withinMs: halfWayMs };
  const nodes = (rings ?? []).flatMap(({ node, ring }) =>
    ring.heard && ring.aheadMs !== null
      ? [
          {
            subject: node,
            aheadMs: ring.aheadMs - database.aheadMs,
            withinMs: ring.ms / 2 + halfWayMs,
          },
        ]
      : [],
  );
  return [hub, ...nodes];
}
