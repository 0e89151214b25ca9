import type { Database } from "@loom/local-db";
import type { OpenEngine } from "./engine.ts";
import { loomDirect } from "./engines/loom.ts";

/** The engine without its history: what the events cost. Never to be used for anything else. */
export const loomWithoutEvents: OpenEngine = async (database) => {
  await rewrite(database, "loom_enqueue_jobs", [
    ["insert into public.loom_events (type, job_id, state, node)", ""],
  ]);
  await rewrite(database, "loom_settle_jobs", [
    ["insert into public.loom_events (type, run_id, job_id, state, node, fence, detail)", ""],
  ]);
  await rewrite(database, "loom_claim_jobs", [
    [
      "insert into public.loom_events (type, run_id, job_id, state, node, epoch, fence)",
      ", event as (",
    ],
    [
      "p_epoch, fence from claimed;",
      "p_epoch, fence from claimed) select count(*) into v_free from claimed;",
    ],
  ]);
  return { ...(await loomDirect(database)), name: "@loom/queue, direct, no events" };
};

async function rewrite({ sql }: Database, name: string, edits: [string, string][]): Promise<void> {
  const [row] = await sql<{ text: string }[]>`
    select pg_get_functiondef(${`public.${name}`}::regproc) as text`;
  const text = edits.reduce((from, [before, after]) => {
    if (!from.includes(before)) throw new Error(`${name} holds no "${before}"`);
    return from.replace(before, () => after);
  }, row?.text ?? "");
  await sql.unsafe(text);
}
