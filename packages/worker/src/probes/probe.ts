/** The facts that a probe has found on the machine. */
export type Probed =
  | {
      result: "ok";
      capabilities: readonly string[];
      /** The facts behind the capabilities, for people: `NVIDIA GeForce RTX 4090, driver 550.54.14`. */
      evidence: string;
    }
  | { result: "absent"; evidence: string };

/** Checks for one thing that a machine may offer. */
export interface Probe {
  name: string;
  /** The time between two runs. */
  everyMs: number;
  /**
   * Checks once. When the signal aborts, the caller stops waiting, but does not call it again
   * before it has settled.
   *
   * @throws When it cannot find out. The report then has the result `failed`.
   */
  run(signal: AbortSignal): Promise<Probed>;
}

/** The result of one run of a probe. */
export interface ProbeReport {
  name: string;
  /** `failed`: it could not find out. `timeout`: it did not end in time. */
  result: "ok" | "absent" | "failed" | "timeout";
  capabilities: readonly string[];
  evidence: string;
  at: Date;
  tookMs: number;
  everyMs: number;
}

const TIMEOUT_MS = 3_000;
const MAX_EVIDENCE = 500;

/** Runs a probe once, for at most three seconds. Never fails. */
export const runProbe = (
  probe: Probe,
  options: { timeoutMs?: number } = {},
): Promise<ProbeReport> => createProbeRunner(probe, options)();

/**
 * Creates a function that runs one probe each time it is called.
 *
 * It does not run the probe while an earlier run has not ended. A program that hangs in a driver
 * outlives SIGKILL, and each run would add one; a hanging file system would hold one more thread.
 *
 * @param options.timeoutMs - For each run. Default 3 000.
 */
export function createProbeRunner(
  { name, everyMs, run }: Probe,
  { timeoutMs = TIMEOUT_MS }: { timeoutMs?: number } = {},
): () => Promise<ProbeReport> {
  let runningSince: Date | undefined;

  async function result(): Promise<RunResult> {
    if (runningSince !== undefined) {
      return {
        result: "timeout",
        evidence: `the run of ${runningSince.toISOString()} hangs and could not be ended: the probe runs again when it ends`,
      };
    }
    runningSince = new Date();
    const stop = new AbortController();
    const running = (async () => run(stop.signal))();
    const isOver = () => {
      runningSince = undefined;
    };
    void running.then(isOver, isOver);
    const timer = setTimeout(() => stop.abort(), timeoutMs);
    const late = new Promise<never>((_, reject) => {
      stop.signal.addEventListener("abort", () => reject(new Error("it took too long")));
    });
    try {
      return await Promise.race([running, late]);
    } catch (error) {
      return stop.signal.aborted
        ? { result: "timeout", evidence: `no answer within ${timeoutMs} ms` }
        : { result: "failed", evidence: error instanceof Error ? error.message : "?" };
    } finally {
      clearTimeout(timer);
    }
  }

  return async () => {
    const startedAt = performance.now();
    const found = await result();
    return {
      name,
      everyMs,
      result: found.result,
      capabilities: found.result === "ok" ? found.capabilities : [],
      evidence: found.evidence.replaceAll(/\s+/g, " ").slice(0, MAX_EVIDENCE),
      at: new Date(),
      tookMs: Math.round(performance.now() - startedAt),
    };
  };
}

type RunResult = Probed | { readonly result: "failed" | "timeout"; readonly evidence: string };
