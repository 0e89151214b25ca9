import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { askHub, type HubAccess } from "./ask-hub.ts";

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
export async function runSmoke(hub: HubAccess, { signal }: { signal: AbortSignal }): Promise<Run> {
  const { runId } = started.parse(
    // The agents may still be on their way.
    await askHub(hub, "POST", "/strands/cross-node-smoke/run", {
      body: { allowUnsatisfiable: true },
      signal,
    }),
  );
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    const current = run.parse(await askHub(hub, "GET", `/runs/${runId}`, { signal }));
    if (current.status !== "running") return { ...current, waiting: [] };
    if (performance.now() > until) {
      const open = current.steps.filter(({ state }) => state === "waiting" || state === "pending");
      const explain = async ({ id, step }: (typeof open)[number]) => {
        const answer = await askHub(hub, "GET", `/jobs/${id}/explain`, { signal });
        return `${step} waits: ${explanation.parse(answer).summary}`;
      };
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
