import type { Database } from "@loom/local-db";
import { describe, expect } from "vitest";
import { sayHello } from "../../agent.ts";
import type { QueueTest } from "../../queue-test.ts";

const LEASE_MS = 6_000;

/** Ends the leader's lease a moment ago. */
const endLease = (database: Database) =>
  database.sql`update public.loom_leaders set expires_at = now() - interval '1 second' where duty = 'loops'`;

export function leadershipContract(test: QueueTest): void {
  describe("lead", () => {
    test("belongs to one hub, which keeps it by asking again", async ({ queue }) => {
      const first = await queue.lead("a", LEASE_MS);
      expect(first).toMatchObject({ leading: true, holder: "a", epoch: 1 });
      expect(first.expiresInMs).toBeGreaterThan(LEASE_MS - 1_000);
      expect(await queue.lead("b", LEASE_MS)).toMatchObject({
        leading: false,
        holder: "a",
        epoch: 1,
      });
      expect(await queue.lead("a", LEASE_MS)).toMatchObject({ leading: true, epoch: 1 });
    });

    test("tells the other hubs the wake address of its node", async ({ queue }) => {
      const session = await sayHello(queue, "oracle");
      await queue.lead("oracle/1", LEASE_MS);
      expect(await queue.lead("b", LEASE_MS)).toMatchObject({ leading: false, wakeServer: null });
      const where = { tailnetAddress: "100.64.0.7", wakePort: 7_421 };
      await queue.reportNode(session, { capabilities: [], slots: 1, ...where });
      expect(await queue.lead("b", LEASE_MS)).toMatchObject({
        wakeServer: { name: "oracle", ...where },
      });
      expect(await queue.lead("oracle/1", LEASE_MS)).toMatchObject({ wakeServer: null });
    });

    test("goes to another hub when the lease has expired, and not back", async ({
      queue,
      database,
    }) => {
      await queue.lead("a", LEASE_MS);
      await endLease(database);
      expect(await queue.lead("b", LEASE_MS)).toMatchObject({ leading: true, epoch: 2 });
      expect(await queue.lead("a", LEASE_MS)).toMatchObject({ leading: false, holder: "b" });
    });

    test("stays with the same hub when no other asked meanwhile", async ({ queue, database }) => {
      await queue.lead("a", LEASE_MS);
      await endLease(database);
      expect(await queue.lead("a", LEASE_MS)).toMatchObject({ leading: true, epoch: 1 });
    });

    test("goes to another hub when its lease is longer than possible, because the clock was set back", async ({
      queue,
      database,
    }) => {
      await queue.lead("a", LEASE_MS);
      await database.sql`
        update public.loom_leaders set expires_at = now() + interval '3 weeks' where duty = 'loops'`;
      expect(await queue.lead("b", LEASE_MS)).toMatchObject({ leading: true, epoch: 2 });
    });

    test("goes to another hub at once when its holder resigns", async ({ queue }) => {
      const { epoch } = await queue.lead("a", LEASE_MS);
      await queue.resign("a", epoch);
      await queue.resign("a", epoch);
      expect(await queue.lead("b", LEASE_MS)).toMatchObject({ leading: true, epoch: 2 });
    });

    test("stays when an earlier holder or another hub resigns", async ({ queue, database }) => {
      const { epoch } = await queue.lead("a", LEASE_MS);
      await endLease(database);
      const { epoch: next } = await queue.lead("b", LEASE_MS);
      await queue.resign("a", epoch);
      await queue.resign("a", next);
      await queue.resign("b", epoch);
      expect(await queue.lead("c", LEASE_MS)).toMatchObject({ leading: false, holder: "b" });
    });

    // Interleavings: the row's lock lets one after the other. The first finds the lease free, each
    // of the others waits for its commit, reads the row anew, and finds it taken.
    test("goes to one of many hubs that ask at once", async ({ queue, database }) => {
      for (let round = 1; round <= 5; round += 1) {
        const answers = await Promise.all(
          Array.from({ length: 8 }, (_, hub) => queue.lead(`${round}-${hub}`, LEASE_MS)),
        );
        const leaders = answers.filter(({ leading }) => leading);
        expect(leaders).toMatchObject([{ epoch: round }]);
        expect(new Set(answers.map(({ holder }) => holder)).size).toBe(1);
        await endLease(database);
      }
    });

    test.for([
      { holder: "", leaseMs: LEASE_MS },
      { holder: "x".repeat(201), leaseMs: LEASE_MS },
      { holder: "a", leaseMs: 999 },
      { holder: "a", leaseMs: 3_600_001 },
    ])("refuses $leaseMs ms for '$holder'", async ({ holder, leaseMs }, { queue }) => {
      await expect(queue.lead(holder, leaseMs)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    });
  });
}
