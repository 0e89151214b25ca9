import { isDeepStrictEqual } from "node:util";
import type { Log } from "../log.ts";
import { createWaker, within } from "../wait.ts";
import { createProbeRunner, type Probe, type ProbeReport } from "./probe.ts";

/** Runs probes repeatedly, each at its own interval. */
export interface Prober {
  /** The latest report of each probe that has run, in the order of the probes. */
  reports(): ProbeReport[];
  /**
   * Runs all probes until the signal aborts. Call it once.
   *
   * @param options.onChange - Called when a probe's result differs from the one before.
   */
  run(options: { onChange: () => void; signal: AbortSignal }): Promise<void>;
  /** Runs all probes now. */
  runAll(): void;
  /** Resolves when each probe has run, after `ms` at the latest. */
  firstRound(ms: number): Promise<void>;
}

/**
 * Creates a prober. A probe that hangs does not delay the others, and is not run again before it ends.
 *
 * @param options.timeoutMs - For each run of a probe. Default 3 000.
 */
export function createProber(
  probes: readonly Probe[],
  { log, timeoutMs }: { log: Log; timeoutMs?: number },
): Prober {
  const latest = new Map<Probe, ProbeReport>();
  const wakers = probes.map(() => createWaker());
  const first = probes.map(() => Promise.withResolvers<void>());

  async function runOnce(probe: Probe, run: () => Promise<ProbeReport>): Promise<boolean> {
    const before = latest.get(probe);
    const report = withoutFlapping(before, await run());
    latest.set(probe, report);
    if (before && isDeepStrictEqual(contentOf(before), contentOf(report))) return false;
    const { name, result, evidence, tookMs } = report;
    const isTrouble = result === "failed" || result === "timeout";
    log[isTrouble ? "warn" : "info"]({ probe: name, result, evidence, tookMs }, "probe");
    return true;
  }

  return {
    reports: () => probes.flatMap((probe) => latest.get(probe) ?? []),

    async run({ onChange, signal }) {
      await Promise.all(
        probes.map(async (probe, index) => {
          const run = createProbeRunner(probe, timeoutMs ? { timeoutMs } : {});
          while (!signal.aborted) {
            if (await runOnce(probe, run)) onChange();
            first[index]?.resolve();
            await wakers[index]?.wait(probe.everyMs, signal);
          }
        }),
      );
    },

    runAll() {
      for (const waker of wakers) waker.wake();
    },

    async firstRound(ms) {
      await within(ms, Promise.all(first.map(({ promise }) => promise)));
    },
  };
}

const contentOf = ({ result, capabilities, evidence }: ProbeReport) => ({
  result,
  capabilities,
  evidence,
});

/**
 * Lets a probe that times out once keep its capabilities until it times out again. A machine under
 * load answers late, and its jobs would be placed elsewhere each time.
 */
export const withoutFlapping = (before: ProbeReport | undefined, now: ProbeReport): ProbeReport =>
  now.result === "timeout" && before?.result === "ok"
    ? { ...now, capabilities: before.capabilities }
    : now;
