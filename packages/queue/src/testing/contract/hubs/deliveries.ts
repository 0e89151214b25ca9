import { describe, expect } from "vitest";
import { only } from "../../agent.ts";
import { addHook, leadRound, readDeliveries } from "../../hooks.ts";
import type { QueueFixtures, QueueTest } from "../../queue-test.ts";

/** A hub that leads, and takes and records deliveries. */
async function leadSending({ queue, database }: QueueFixtures) {
  const { epoch } = (await leadRound(queue)).lead;
  const take = async (busy: string[] = []) => queue.takeDeliveries({ epoch, busy });
  return {
    epoch,
    take,
    takeOne: async () => only((await take()).deliveries),
    /** Lets the time pass until whatever is pending is due. */
    passDelay: () =>
      database.sql`update public.loom_hook_deliveries set next_at = now() where next_at is not null`,
  };
}

/** The delay until the next attempt, in seconds. */
const delayOf = async ({ sql }: QueueFixtures["database"]) => {
  const [row] = await sql<{ s: number }[]>`
    select round(extract(epoch from next_at - now()))::int as s from public.loom_hook_deliveries`;
  return row?.s;
};

export function deliveriesContract(test: QueueTest): void {
  describe("a delivery", () => {
    test("is taken once, with its hook's target, and recorded with the answer", async ({
      queue,
      database,
    }) => {
      const { take, takeOne } = await leadSending({ queue, database });
      expect(await take()).toEqual({ answer: "taken", deliveries: [], dueInMs: null });
      await addHook(queue, "chat");
      const made = await queue.testHook("chat", "ada");
      expect(await leadRound(queue)).toMatchObject({ hasDeliveries: true });
      const taken = await takeOne();
      expect(taken).toMatchObject({
        id: made?.id,
        hook: "chat",
        rule: "test",
        attempt: 1,
        facts: { askedBy: "ada" },
        sealed: "sealed for chat",
      });
      const { deliveries, dueInMs } = await take();
      expect(deliveries).toEqual([]);
      expect(dueInMs).toBeGreaterThan(50_000);
      const outcome = { tookMs: 12, status: 204, answer: "ok" };
      expect(await queue.recordDelivery(taken, outcome)).toBe("delivered");
      expect(await readDeliveries(queue, "chat")).toMatchObject([
        { state: "delivered", nextAt: null, attempts: 1, status: 204, tookMs: 12, answer: "ok" },
      ]);
      expect(await leadRound(queue)).toMatchObject({ hasDeliveries: false });
      // The answer was lost, and the call is repeated.
      expect(await queue.recordDelivery(taken, outcome)).toBeNull();
    });

    test("of a hub that died is sent again under the same id, and the dead hub's outcome changes nothing", async ({
      queue,
      database,
    }) => {
      const { takeOne, passDelay } = await leadSending({ queue, database });
      await addHook(queue, "chat");
      await queue.testHook("chat", "ada");
      const lost = await takeOne();
      await passDelay();
      const again = await takeOne();
      expect(again).toMatchObject({ id: lost.id, attempt: 2 });
      expect(await queue.recordDelivery(lost, { tookMs: 1, error: "gone" })).toBeNull();
      expect(await queue.recordDelivery(again, { tookMs: 1, status: 200 })).toBe("delivered");
      expect(await readDeliveries(queue, "chat")).toMatchObject([{ state: "delivered" }]);
    });

    test("that fails is tried eight times, after longer and longer, and can be sent again", async ({
      queue,
      database,
    }) => {
      const { takeOne, passDelay } = await leadSending({ queue, database });
      await addHook(queue, "chat");
      const made = await queue.testHook("chat", "ada");
      const delays: (number | undefined)[] = [];
      for (let attempt = 1; attempt <= 8; attempt += 1) {
        const outcome = { tookMs: 1, status: 500, error: "it answered 500" };
        await queue.recordDelivery(await takeOne(), outcome);
        if (attempt < 8) delays.push(await delayOf(database));
        await passDelay();
      }
      expect(delays).toEqual([10, 60, 300, 900, 3_600, 10_800, 28_800]);
      expect(await readDeliveries(queue, "chat")).toMatchObject([
        { state: "failed", attempts: 8, nextAt: null, status: 500, error: "it answered 500" },
      ]);
      expect(await queue.redeliver("chat", made?.id ?? "")).toMatchObject({ state: "pending" });
      await expect(queue.redeliver("chat", made?.id ?? "")).rejects.toMatchObject({
        code: "DELIVERY_PENDING",
      });
      expect(await takeOne()).toMatchObject({ id: made?.id, attempt: 1 });
      expect(await queue.redeliver("other", made?.id ?? "")).toBeNull();
      expect(await queue.redeliver("chat", "nope")).toBeNull();
    });

    test("waits as its target asks, for an hour at most", async ({ queue, database }) => {
      const { takeOne, passDelay } = await leadSending({ queue, database });
      await addHook(queue, "chat");
      await queue.testHook("chat", "ada");
      const busy = { tookMs: 1, status: 429, error: "it answered 429" };
      await queue.recordDelivery(await takeOne(), { ...busy, retryAfterMs: 30_000 });
      expect(await delayOf(database)).toBe(30);
      await passDelay();
      await queue.recordDelivery(await takeOne(), { ...busy, retryAfterMs: 86_400_000 });
      expect(await delayOf(database)).toBe(3_600);
    });

    test("waits for no other hook's, and comes after the one before it of its own", async ({
      queue,
      database,
    }) => {
      const { take } = await leadSending({ queue, database });
      for (const name of ["slow", "fast"]) await addHook(queue, name);
      const first = await queue.testHook("slow", "ada");
      const second = await queue.testHook("slow", "ada");
      await queue.testHook("fast", "ada");
      const hooks = async (busy: string[]) =>
        (await take(busy)).deliveries.map(({ hook, id }) => [hook, id]);
      expect(await hooks(["fast"])).toEqual([["slow", first?.id]]);
      expect(await hooks(["slow"])).toMatchObject([["fast", expect.any(String)]]);
      expect(await hooks(["slow"])).toEqual([]);
      expect(await hooks([])).toEqual([["slow", second?.id]]);
    });

    test("is not taken by a hub that no longer leads", async ({ queue, database }) => {
      const { take } = await leadSending({ queue, database });
      await addHook(queue, "chat");
      await queue.testHook("chat", "ada");
      await database.sql`update public.loom_leaders set expires_at = now() where duty = 'loops'`;
      await queue.round({ holder: "two", leaseMs: 6_000 });
      expect(await take()).toMatchObject({ answer: "deposed", deliveries: [] });
    });

    test("is taken by one of two calls that come at the same time", async ({ queue, database }) => {
      const { take } = await leadSending({ queue, database });
      await addHook(queue, "chat");
      for (const _ of [1, 2, 3]) await queue.testHook("chat", "ada");
      const answers = await Promise.all([take(), take(), take(), take()]);
      const ids = answers.flatMap(({ deliveries }) => deliveries.map(({ id }) => id));
      expect(ids.length).toBeGreaterThan(0);
      expect(new Set(ids).size).toBe(ids.length);
    });

    test("is listed page by page", async ({ queue }) => {
      await addHook(queue, "chat");
      const made: (string | undefined)[] = [];
      for (const _ of [1, 2, 3]) made.unshift((await queue.testHook("chat", "ada"))?.id);
      const first = await queue.listDeliveries("chat", { limit: 2 });
      const rest = await queue.listDeliveries("chat", { limit: 2, after: first?.next ?? "" });
      expect(
        [...(first?.deliveries ?? []), ...(rest?.deliveries ?? [])].map(({ id }) => id),
      ).toEqual(made);
      expect(rest?.next).toBeNull();
      await expect(queue.listDeliveries("chat", { after: "x" })).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    });
  });
}
