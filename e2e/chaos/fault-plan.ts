import type { LinkFault, Weather } from "./fault-proxy.ts";
import type { Random } from "./random.ts";

/** One fault of processes or of the whole network, at a moment of the round. */
export type Fault = { readonly atMs: number } & (
  | { readonly kind: "kill"; readonly worker: number; readonly downMs: number }
  | { readonly kind: "freeze"; readonly worker: number; readonly forMs: number }
  | { readonly kind: "restart-postgres" }
  | { readonly kind: "restart-postgrest" }
  | { readonly kind: "kill-backends"; readonly count: number }
  /** No client reaches the database, for longer than a lease. */
  | { readonly kind: "outage"; readonly forMs: number }
);

/** How often each fault comes, about. */
const EVERY_MS = {
  kill: 1_500,
  freeze: 4_000,
  "restart-postgres": 17_000,
  "restart-postgrest": 23_000,
  "kill-backends": 2_500,
  outage: 41_000,
} as const;

/**
 * Every fault of a round, from its seed alone, in the order of time. Whether a worker that is to
 * be killed happens to be down already is not known here: then nothing happens.
 */
export function planFaults(options: {
  durationMs: number;
  workers: number;
  leaseMs: number;
  random: Random;
}): Fault[] {
  const { durationMs, workers, leaseMs, random } = options;
  const worker = () => random.int(0, workers - 1);
  const faults: Fault[] = [];
  const fill = (kind: Fault["kind"], make: (atMs: number) => Fault[]) => {
    const every = EVERY_MS[kind];
    for (let atMs = every * 0.6; atMs < durationMs; atMs += every * (0.6 + 0.8 * random.next())) {
      faults.push(...make(Math.round(atMs)));
    }
  };
  const kill = (atMs: number): Fault => ({
    atMs,
    kind: "kill",
    worker: worker(),
    downMs: random.chance(0.3) ? random.int(leaseMs, 2 * leaseMs) : random.int(0, 500),
  });
  fill("kill", (atMs) => [kill(atMs)]);
  // The last worker's node is lost for good: nothing is pinned to it.
  faults.push({
    atMs: Math.round(durationMs / 2),
    kind: "kill",
    worker: workers - 1,
    downMs: Number.POSITIVE_INFINITY,
  });
  fill("freeze", (atMs) => [
    { atMs, kind: "freeze", worker: worker(), forMs: random.int(leaseMs + 500, 2 * leaseMs) },
  ]);
  // A worker that dies in the same moment as the database finds nobody to tell.
  fill("restart-postgres", (atMs) => [{ atMs, kind: "restart-postgres" }, kill(atMs)]);
  fill("restart-postgrest", (atMs) => [{ atMs, kind: "restart-postgrest" }]);
  fill("kill-backends", (atMs) => [{ atMs, kind: "kill-backends", count: random.int(1, 5) }]);
  fill("outage", (atMs) => [
    { atMs, kind: "outage", forMs: random.int(leaseMs + 500, 2 * leaseMs) },
  ]);
  return faults.sort((a, b) => a.atMs - b.atMs);
}

type Chances = Readonly<Record<LinkFault, number>>;

/** How likely each harm to one exchange is, between supabase-js and PostgREST … */
export const HTTP_LINK: Chances = {
  "lose-request": 0.02,
  "lose-answer": 0.06,
  reset: 0.02,
  delay: 0.03,
  "black-hole": 0.003,
  replay: 0.05,
};

/** … between the direct transport and Postgres … */
export const DIRECT_LINK: Chances = { ...HTTP_LINK, replay: 0 };

/** … and between PostgREST and Postgres. */
export const INNER_LINK: Chances = {
  "lose-request": 0.004,
  "lose-answer": 0.008,
  reset: 0.006,
  delay: 0.01,
  "black-hole": 0.0005,
  replay: 0,
};

/** Weather with these chances. */
export function weatherOf(chances: Chances, random: Random): Weather {
  const kinds = Object.entries(chances) as [LinkFault, number][];
  return () => {
    let left = random.next();
    return kinds.find(([, chance]) => {
      left -= chance;
      return left < 0;
    })?.[0];
  };
}
