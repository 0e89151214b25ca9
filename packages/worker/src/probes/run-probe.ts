import type { Finding, Probe, ProbeReport } from "./probe.ts";

const TIMEOUT_MS = 3_000;
const MAX_EVIDENCE = 500;

/** Runs a probe once, for three seconds at most. Never fails, whatever the probe does. */
export async function runProbe(
  { name, everyMs, look }: Probe,
  { timeoutMs = TIMEOUT_MS }: { timeoutMs?: number } = {},
): Promise<ProbeReport> {
  const startedAt = performance.now();
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), timeoutMs);
  const late = new Promise<never>((_, reject) => {
    stop.signal.addEventListener("abort", () => reject(new Error("it took too long")));
  });
  const report = (found: Finding | { result: "failed" | "timeout"; evidence: string }) => ({
    name,
    everyMs,
    result: found.result,
    capabilities: found.result === "ok" ? found.capabilities : [],
    evidence: found.evidence.replaceAll(/\s+/g, " ").slice(0, MAX_EVIDENCE),
    at: new Date(),
    tookMs: Math.round(performance.now() - startedAt),
  });
  try {
    return report(await Promise.race([look(stop.signal), late]));
  } catch (error) {
    if (stop.signal.aborted) {
      return report({ result: "timeout", evidence: `no answer within ${timeoutMs} ms` });
    }
    return report({ result: "failed", evidence: error instanceof Error ? error.message : "?" });
  } finally {
    clearTimeout(timer);
  }
}
