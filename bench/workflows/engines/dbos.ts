import { DBOS } from "@dbos-inc/dbos-sdk";
import pg from "pg";
import { quiet } from "../../quiet.ts";
import { CONNECTIONS, type EngineKind, IN_FLIGHT, stepResult } from "../engine.ts";

const QUEUE = "bench";

/**
 * DBOS keeps its registry in the module, so a workflow is registered once and calls whoever measures now.
 *
 * @param isQueued - If false, the process that starts a run also runs it, as DBOS does by default. If true, the run
 *   goes through a queue that any process could take it from, as with the other engines.
 */
const dbos = (isQueued: boolean): EngineKind => ({
  name: `DBOS 5, ${isQueued ? "through a queue" : "in the process that starts it"}`,
  async open({ sql, socketDir, name }, onLastStep) {
    reportLastStep = onLastStep;
    const pool = new pg.Pool({
      ...{ host: socketDir, database: name, user: "postgres", max: CONNECTIONS },
    });
    DBOS.setConfig({
      name: "bench",
      systemDatabasePool: pool,
      logger: quiet,
      enableOTLP: false,
    });
    await DBOS.launch();
    if (isQueued) {
      // It polls each second by default.
      await DBOS.registerQueue(QUEUE, { workerConcurrency: IN_FLIGHT, minPollingIntervalMs: 50 });
    }
    return {
      async start(run) {
        await DBOS.startWorkflow(threeSteps, isQueued ? { queueName: QUEUE } : {})(run);
      },
      async durations() {
        const rows = await sql<{ ms: string | null }[]>`
          select completed_at - created_at as ms from dbos.workflow_status
           where name = 'threeSteps' order by created_at`;
        return rows.map(({ ms }) => (ms === null ? null : Number(ms)));
      },
      async close() {
        await DBOS.shutdown();
        if (!pool.ended) await pool.end();
      },
    };
  },
});

let reportLastStep = (_run: number): void => {};

const threeSteps = DBOS.registerWorkflow(
  async (run: number) => {
    await DBOS.runStep(async () => stepResult(run), { name: "one" });
    await DBOS.runStep(async () => stepResult(run), { name: "two" });
    return await DBOS.runStep(
      async () => {
        reportLastStep(run);
        return stepResult(run);
      },
      { name: "three" },
    );
  },
  { name: "threeSteps" },
);

export const dbosInProcess = dbos(false);
export const dbosQueued = dbos(true);
