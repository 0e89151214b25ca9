import { OpenWorkflow } from "openworkflow";
import { BackendPostgres } from "openworkflow/postgres";
import { type EngineKind, IN_FLIGHT, stepResult } from "../engine.ts";

/** Its worker polls every 0.1 s while there is nothing to do, later every second. */
export const openWorkflow: EngineKind = {
  name: "openworkflow 0.10",
  async open({ sql, socketDir, name }, onLastStep) {
    // It takes a URL and no options, and postgres.js takes the folder of a socket from the environment only.
    Object.assign(process.env, { PGHOST: socketDir, PGUSER: "postgres" });
    const backend = await BackendPostgres.connect(`postgres:///${name}`);
    const client = new OpenWorkflow({ backend });
    const workflow = client.defineWorkflow<{ run: number }, unknown>(
      { name: "three-steps" },
      async ({ input: { run }, step }) => {
        await step.run({ name: "one" }, async () => stepResult(run));
        await step.run({ name: "two" }, async () => stepResult(run));
        return await step.run({ name: "three" }, async () => {
          onLastStep(run);
          return stepResult(run);
        });
      },
    );
    const worker = client.newWorker({ concurrency: IN_FLIGHT });
    await worker.start();
    return {
      async start(run) {
        await workflow.run({ run });
      },
      async durations() {
        const rows = await sql<{ ms: string | null }[]>`
          select extract(epoch from finished_at - created_at) * 1000 as ms from openworkflow.workflow_runs
           order by created_at`;
        return rows.map(({ ms }) => (ms === null ? null : Number(ms)));
      },
      async close() {
        await worker.stop();
        await backend.stop();
      },
    };
  },
};
