import { isDeepStrictEqual } from "node:util";
import { createBell } from "../bell.ts";
import type { Log } from "../log.ts";
import type { Probe, ProbeReport } from "./probe.ts";
import { runProbe } from "./run-probe.ts";

/** Runs probes again and again, each at its own pace. */
export interface Prober {
  /** The latest report of each probe, in the order of the probes; without those still under way. */
  reports(): ProbeReport[];
  /**
   * Runs all probes until the signal aborts; once in a prober's life.
   *
   * @param options.onChange - Called when a probe found something else than before.
   */
  run(options: { onChange: () => void; signal: AbortSignal }): Promise<void>;
  /** Runs all of them now. */
  lookAgain(): void;
  /** Resolves when each has run, but after `ms` at the latest. */
  firstRound(ms: number): Promise<void>;
}

/**
 * Creates a prober. A probe that hangs holds up none of the others.
 *
 * @param options.timeoutMs - For each look; default 3 000.
 */
export function createProber(
  probes: readonly Probe[],
  { log, timeoutMs }: { log: Log; timeoutMs?: number },
): Prober {
  const latest = new Map<Probe, ProbeReport>();
  const bells = probes.map(() => createBell());
  const first = probes.map(() => Promise.withResolvers<void>());

  async function look(probe: Probe): Promise<boolean> {
    const before = latest.get(probe);
    const report = afterSilence(before, await runProbe(probe, timeoutMs ? { timeoutMs } : {}));
    latest.set(probe, report);
    if (before && isDeepStrictEqual(whatOf(before), whatOf(report))) return false;
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
          while (!signal.aborted) {
            if (await look(probe)) onChange();
            first[index]?.resolve();
            await bells[index]?.wait(probe.everyMs, signal);
          }
        }),
      );
    },

    lookAgain() {
      for (const bell of bells) bell.ring();
    },

    async firstRound(ms) {
      const done = new AbortController();
      void Promise.all(first.map(({ promise }) => promise)).then(() => done.abort());
      await createBell().wait(ms, done.signal);
    },
  };
}

const whatOf = ({ result, capabilities, evidence }: ProbeReport) => ({
  result,
  capabilities,
  evidence,
});

/**
 * A probe that was true and is late once keeps its capabilities until it is late again: a machine
 * under load is slow to answer, and its offers would be placed anew each time.
 */
export const afterSilence = (before: ProbeReport | undefined, now: ProbeReport): ProbeReport =>
  now.result === "timeout" && before?.result === "ok"
    ? { ...now, capabilities: before.capabilities }
    : now;
