import { fileURLToPath } from "node:url";
import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import { startProgram, test } from "./fixtures.ts";

const WORKFLOWS = fileURLToPath(new URL("workflows/scheduled", import.meta.url));

/** A hub of its own process. */
async function startHub(database: Database, name: string) {
  const hub = await startProgram(["start"], {
    SUPABASE_URL: database.url,
    SUPABASE_SECRET_KEY: database.serviceKey,
    LOOM_TOKEN: "a-token-for-this-test",
    LOOM_NODE_NAME: name,
    LOOM_WORKFLOWS_DIR: WORKFLOWS,
    PORT: "0",
  });
  return { ...hub, signal: (signal: NodeJS.Signals) => process.kill(hub.child.pid, signal) };
}

/** How long something takes, in milliseconds. */
async function timed(cause: () => void, until: Promise<unknown>): Promise<number> {
  const from = performance.now();
  cause();
  await until;
  return performance.now() - from;
}

/** Every slot of the test's schedule so far, oldest first, with how many runs have it for their key. Loom's own schedules fire too. */
const slotsOf = ({ sql }: Database) => sql<
  { second: number; decision: string; runs: number; steps: number; own: boolean }[]
>`
  select extract(epoch from slot_at)::int as second, decision,
         (select count(*)::int from public.loom_runs where idempotency_key = slot.id) as runs,
         (select count(*)::int from public.loom_job_queue where run_id = slot.run_id) as steps,
         run_id = (select id from public.loom_runs where idempotency_key = slot.id) as own
    from public.loom_schedule_slots as slot where schedule_id = 'every-second' order by slot_at`;

/** Resolves when `count` more slots have been decided. */
async function moreSlots(database: Database, count: number): Promise<void> {
  const before = (await slotsOf(database)).length;
  await expect
    .poll(async () => (await slotsOf(database)).length)
    .toBeGreaterThanOrEqual(before + count);
}

describe("the lead of hubs", () => {
  test("is taken over when the leader freezes, dies or resigns, and no slot is lost or fired twice", {
    timeout: 90_000,
  }, async ({ database, queue }) => {
    const a = await startHub(database, "a");
    await a.said("leading");
    await moreSlots(database, 1);
    const b = await startHub(database, "b");
    await b.said("listening");
    // The lease of a hub that is alone is longer, until it learns of another one.
    const isShared = async () =>
      (
        await database.sql`
          select from public.loom_leaders where duty = 'loops' and expires_at < now() + interval '6 seconds'`
      ).length > 0;
    await expect.poll(isShared).toBe(true);

    // Frozen in the middle of whatever it does; when it goes on, it finds out.
    const frozenMs = await timed(() => a.signal("SIGSTOP"), b.said("leading"));
    expect(frozenMs).toBeLessThan(10_000);
    await moreSlots(database, 1);
    const deposed = a.said("another hub leads");
    a.signal("SIGCONT");
    await deposed;
    await moreSlots(database, 2);

    const killedMs = await timed(() => b.signal("SIGKILL"), a.said("leading"));
    expect(killedMs).toBeLessThan(10_000);
    await moreSlots(database, 1);

    const c = await startHub(database, "c");
    await c.said("listening");
    // Nobody waits for the lease of one that says goodbye.
    const resignedMs = await timed(() => a.signal("SIGTERM"), c.said("leading"));
    expect(resignedMs).toBeLessThan(4_000);
    const took = { frozenMs, killedMs, resignedMs };
    console.log(`takeover: ${JSON.stringify(took, (_, ms) => (ms > 0 ? Math.round(ms) : ms))}`);
    await moreSlots(database, 1);
    c.signal("SIGTERM");
    await c.child.exited;

    const slots = await slotsOf(database);
    const first = slots[0]?.second ?? 0;
    expect(slots.map(({ second }) => second)).toEqual(slots.map((_, index) => first + index));
    for (const slot of slots) {
      expect(slot).toMatchObject({ runs: 1, steps: 2, own: true });
      expect(["fired", "late"]).toContain(slot.decision);
    }
    const [runs] = await database.sql`
      select count(*)::int as count from public.loom_runs where workflow_id = 'every-second'`;
    expect(runs?.count).toBe(slots.length);
    expect(await queue.verify()).toEqual([]);
    const [leader] = await database.sql`
      select epoch::int, holder from public.loom_leaders where duty = 'loops'`;
    expect(leader).toEqual({ epoch: 4, holder: null });
  });
});
