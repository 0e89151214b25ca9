import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";

const POLL_MS = 100;
/** The run takes a second or two. A longer one waits for something: a node or the workflow may be paused. */
const PATIENCE_MS = 30_000;

const started = z.object({ runId: z.string() });
const run = z.object({
  status: z.enum(["running", "succeeded", "failed", "cancelled"]),
  steps: z.array(
    z.object({
      id: z.number(),
      step: z.string(),
      host: z.string().nullable(),
      state: z.string(),
      durationMs: z.number().nullable(),
    }),
  ),
});

const explanation = z.object({ summary: z.string() });

/** A run of the hub's API, with the reason for each unfinished step. */
export type Run = z.output<typeof run> & { waiting: string[] };

/** Starts `cross-node-smoke` as any client would, and waits until it is finished, or for half a minute. */
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
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const current = run.parse(await call(`/runs/${runId}`, "GET"));
    if (current.status !== "running") return { ...current, waiting: [] };
    if (performance.now() > until) {
      const open = current.steps.filter(({ state }) => state === "waiting" || state === "pending");
      const explain = async ({ id, step }: (typeof open)[number]) =>
        `${step} waits: ${explanation.parse(await call(`/jobs/${id}/explain`, "GET")).summary}`;
      return { ...current, waiting: await Promise.all(open.map(explain)) };
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** The step rows as a table, and below it what waits for what. */
export const describeRun = ({ steps, waiting }: Run): string => {
  const rows = table([
    ["STEP", "HOST", "STATE", "DURATION"],
    ...steps.map(({ step, host, state, durationMs }) => [
      step,
      host ?? "-",
      state,
      durationMs === null ? "-" : `${durationMs} ms`,
    ]),
  ]);
  return [rows, ...waiting].join("\n");
};

/** Rows as aligned text, each column as wide as its widest cell. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
