import { describe, expect } from "vitest";
import type { QueueTest } from "../../queue-test.ts";
import { untilReadable } from "../../until-readable.ts";

export function eventsContract(test: QueueTest): void {
  describe("readEvents", () => {
    test("continues from a cursor, and returns the same one when there is nothing new", async ({
      queue,
      database,
    }) => {
      expect(await queue.readEvents()).toEqual({ events: [], cursor: null });
      for (const name of ["a", "b", "c"]) await queue.pauseWorkflow(name);
      await untilReadable(database);
      const first = await queue.readEvents({ limit: 2 });
      expect(first.events.map(({ detail }) => detail)).toEqual(["a", "b"]);
      expect(first.cursor).toBe(first.events[1]?.cursor);
      const second = await queue.readEvents({ after: first.cursor });
      expect(second.events.map(({ detail }) => detail)).toEqual(["c"]);
      expect(await queue.readEvents({ after: second.cursor })).toEqual({
        events: [],
        cursor: second.cursor,
      });
    });

    test("begins after all past events with 'now'", async ({ queue, database }) => {
      await queue.pauseWorkflow("before");
      await untilReadable(database);
      const { events, cursor } = await queue.readEvents({ after: "now" });
      expect(events).toEqual([]);
      await queue.pauseWorkflow("after");
      await untilReadable(database);
      expect((await queue.readEvents({ after: cursor })).events).toMatchObject([
        { detail: "after" },
      ]);
    });

    test("begins at the requested time in the past, by the events' own time", async ({
      queue,
      database,
    }) => {
      expect(await queue.findEventCursor(60_000)).toBe("0.0");
      for (const name of ["a", "b", "c", "d"]) await queue.pauseWorkflow(name);
      await untilReadable(database);
      await database.sql`
        update public.loom_event_batches set at = at - interval '10 minutes' where detail in ('a', 'b')`;
      const since = async (agoMs: number, limit?: number) => {
        const after = await queue.findEventCursor(agoMs, limit === undefined ? {} : { limit });
        return (await queue.readEvents({ after })).events.map(({ detail }) => detail);
      };
      expect(await since(300_000)).toEqual(["c", "d"]);
      expect(await since(900_000)).toEqual(["a", "b", "c", "d"]);
      expect(await since(0)).toEqual([]);
      expect(await since(900_000, 3)).toEqual(["b", "c", "d"]);
      expect(await since(300_000, 1)).toEqual(["d"]);
    });

    // Interleaving: a transaction that is open keeps what is younger than it from being read.
    test("begins before events that an open transaction holds back", async ({
      queue,
      database,
    }) => {
      await database.sql.begin(async (sql) => {
        await sql`select public.loom_pause_workflow('late', true)`;
        await queue.pauseWorkflow("early");
        expect(await queue.findEventCursor(0)).toBe("0.0");
      });
    });

    test.for(["", "soon", "1", "1.", ".1", "-1.0", "1.0.0", "1.0 or true", `1.${"9".repeat(30)}`])(
      "refuses '%s' as a cursor",
      async (after, { queue }) => {
        await expect(queue.readEvents({ after })).rejects.toMatchObject({
          code: "INVALID_ARGUMENT",
        });
      },
    );

    // Interleaving: the late one has its numbers, and commits only when larger ones have been
    // readable for a while. They are held back until it is decided.
    test("misses no event that commits late", async ({ queue, database }) => {
      const seen: (string | null)[] = [];
      let cursor: string | null = null;
      const readOn = async () => {
        const page = await queue.readEvents({ after: cursor });
        seen.push(...page.events.map(({ detail }) => detail));
        cursor = page.cursor;
      };
      await queue.pauseWorkflow("before");
      await database.sql.begin(async (sql) => {
        await sql`select public.loom_pause_workflow('late', true)`;
        await queue.pauseWorkflow("early");
        await queue.pauseWorkflow("earlier than late");
        await readOn();
        expect(seen).not.toContain("early");
      });
      await untilReadable(database);
      await readOn();
      expect(seen).toEqual(["before", "late", "early", "earlier than late"]);
    });

    // Interleavings: eight writers, of which every second holds its transaction open until the
    // next one has committed, and a reader that never waits for them.
    test("reads the events of many concurrent writers, each once", async ({ queue, database }) => {
      const seen: string[] = [];
      let isOver = false;
      const write = async (writer: number) => {
        for (let n = 0; n < 10; n += 1) {
          await database.sql.begin(async (sql) => {
            await sql`select public.loom_pause_workflow(${`${writer}.${n} held`}, true)`;
            if (writer % 2 === 0) await queue.pauseWorkflow(`${writer}.${n} meanwhile`);
          });
        }
      };
      const read = async () => {
        for (let cursor: string | null = null; ; ) {
          const isLast = isOver;
          if (isLast) await untilReadable(database);
          const page = await queue.readEvents({ after: cursor, limit: 1_000 });
          seen.push(...page.events.map(({ cursor: position }) => position));
          cursor = page.cursor;
          if (isLast) return;
        }
      };
      const reading = read();
      await Promise.all(Array.from({ length: 8 }, (_, writer) => write(writer)));
      isOver = true;
      await reading;
      expect(seen).toHaveLength(120);
      expect(new Set(seen).size).toBe(120);
    });
  });
}
