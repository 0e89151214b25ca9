import { describe, expect } from "vitest";
import { claim, only, sayHello } from "../src/testing/agent.ts";
import { databaseTest } from "../src/testing/database-test.ts";
import { makeJob } from "../src/testing/new-job.ts";
import { untilWaiting } from "../src/testing/until-waiting.ts";

// Regression: what waits for a job's lock finds another row than it had seen.
describe("a job that changes while a call waits for its lock", () => {
  const running = databaseTest.extend("forge", async ({ queue }) => {
    const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
    const session = await sayHello(queue, "forge");
    return { id, session };
  });

  running(
    "is asked to be cancelled when a claim came first",
    async ({ database, queue, forge }) => {
      const { id, session } = forge;
      const cancelling = await database.sql.begin(async (sql) => {
        await sql`select public.loom_exchange('forge', ${session.epoch}, 1, 1)`;
        const waiting = queue.cancel([id]);
        await untilWaiting(database);
        return { waiting };
      });
      expect(await cancelling.waiting).toEqual([{ id, answer: "requested" }]);
      expect(await queue.getJob(id)).toMatchObject({ state: "running", attempt: 1 });
    },
  );

  running("is cancelled when it was given back first", async ({ database, queue, forge }) => {
    const { id, session } = forge;
    const { fence } = only(await claim(queue, session));
    const items = JSON.stringify([{ id, fence, outcome: "released" }]);
    const cancelling = await database.sql.begin(async (sql) => {
      await sql`select public.loom_exchange('forge', p_items => ${items}::text::json)`;
      const waiting = queue.cancel([id]);
      await untilWaiting(database);
      return { waiting };
    });
    expect(await cancelling.waiting).toEqual([{ id, answer: "cancelled" }]);
    expect(await queue.getJob(id)).toMatchObject({ state: "cancelled" });
  });

  running("is salvaged when the reaper gave it back first", async ({ database, queue, forge }) => {
    const { id, session } = forge;
    const { fence } = only(await claim(queue, session));
    const settling = await database.sql.begin(async (sql) => {
      await sql`update public.loom_node_sessions set dead = true`;
      await sql`select public.loom_requeue_jobs(array[${id}::bigint], 'its node is dead')`;
      const waiting = queue.settle("forge", [{ id, fence, outcome: "succeeded", result: 1 }]);
      await untilWaiting(database);
      return { waiting };
    });
    expect(await settling.waiting).toMatchObject([{ answer: "salvaged", state: "succeeded" }]);
    expect(await queue.getJob(id)).toMatchObject({ state: "succeeded", attempt: 1, result: 1 });
  });
});

describe("reap", () => {
  // Regression: a session that a claim held at that moment was passed over when the others got
  // a fresh lease, and was declared dead by the next call.
  databaseTest("gives a fresh lease to a session that is in use", async ({ database, queue }) => {
    await sayHello(queue, "forge");
    await database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;
    await database.sql`update public.loom_leaders set ticked_at = now() - interval '1 hour'`;

    const reaping = await database.sql.begin(async (sql) => {
      await sql`select from public.loom_node_sessions for no key update`;
      const waiting = queue.reap();
      await Promise.race([waiting, untilWaiting(database)]);
      return { waiting };
    });
    expect(await reaping.waiting).toMatchObject({ reaped: true, dead: [] });
    expect(await queue.reap()).toMatchObject({ reaped: true, dead: [] });
  });
});
