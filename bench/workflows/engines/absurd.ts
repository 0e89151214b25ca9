import { Absurd } from "absurd-sdk";
import pg from "pg";
import { quiet } from "../../quiet.ts";
import { CONNECTIONS, type EngineKind, IN_FLIGHT, stepResult } from "../engine.ts";

const QUEUE = "bench";

/**
 * Its worker polls every 0.25 s while there is nothing to do.
 *
 * @param schema - The SQL of its schema, which the package does not carry.
 */
export const absurd = (schema: string): EngineKind => ({
  name: "absurd 0.5",
  async open({ sql, socketDir, name }, onLastStep) {
    await sql.unsafe(schema);
    const pool = new pg.Pool({
      ...{ host: socketDir, database: name, user: "postgres", max: CONNECTIONS },
    });
    const log = { ...quiet, log() {} };
    const client = new Absurd({ db: pool, queueName: QUEUE, log });
    await client.createQueue(QUEUE);
    client.registerTask<{ run: number }>(
      { name: "three-steps", queue: QUEUE },
      async ({ run }, step) => {
        await step.step("one", async () => stepResult(run));
        await step.step("two", async () => stepResult(run));
        return await step.step("three", async () => {
          onLastStep(run);
          return stepResult(run);
        });
      },
    );
    await client.startWorker({ concurrency: IN_FLIGHT });
    return {
      async start(run) {
        await client.spawn("three-steps", { run });
      },
      async durations() {
        const rows = await sql<{ ms: string | null }[]>`
          select extract(epoch from attempt.completed_at - task.enqueue_at) * 1000 as ms
            from absurd.t_bench task left join absurd.r_bench attempt on attempt.run_id = task.last_attempt_run
           order by task.enqueue_at`;
        return rows.map(({ ms }) => (ms === null ? null : Number(ms)));
      },
      async close() {
        await client.close();
        await pool.end();
      },
    };
  },
});
