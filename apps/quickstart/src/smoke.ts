import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { table } from "./table.ts";

const POLL_MS = 100;

const started = z.object({ runId: z.string() });
const run = z.object({
  status: z.enum(["running", "succeeded", "failed", "cancelled"]),
  steps: z.array(
    z.object({
      step: z.string(),
      host: z.string().nullable(),
      state: z.string(),
      durationMs: z.number().nullable(),
      waitingReason: z.object({ summary: z.string() }).nullable(),
      error: z.unknown(),
    }),
  ),
});

/** A run as the hub's API tells it. */
export type Run = z.output<typeof run>;

/** Starts `cross-node-smoke` as any client would, and waits until it is finished. */
export async function runSmoke(
  { url, token }: { url: string; token: string },
  { signal }: { signal: AbortSignal },
): Promise<Run> {
  const call = async (path: string, method: "GET" | "POST", body?: object) => {
    const response = await fetch(`${url}/api/loom${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body && { "content-type": "application/json" }),
      },
      ...(body && { body: JSON.stringify(body) }),
      signal,
    });
    if (!response.ok)
      throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
    return response.json();
  };
  const { runId } = started.parse(
    // The agents may still be on their way.
    await call("/strands/cross-node-smoke/run", "POST", { allowUnsatisfiable: true }),
  );
  for (;;) {
    const current = run.parse(await call(`/runs/${runId}`, "GET"));
    if (current.status !== "running") return current;
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** The step rows as a table. */
export const describeRun = ({ steps }: Run): string =>
  table([
    ["STEP", "HOST", "STATE", "DURATION"],
    ...steps.map(({ step, host, state, durationMs }) => [
      step,
      host ?? "-",
      state,
      durationMs === null ? "-" : `${durationMs} ms`,
    ]),
  ]);
