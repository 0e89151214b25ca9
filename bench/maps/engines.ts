import { DBOS } from "@dbos-inc/dbos-sdk";
import type { Database } from "@loom/local-db";
import { createPostgresQueue } from "@loom/queue/postgres";
import { planRun } from "@loom/scheduler";
import { createInlineRunner, createWorker } from "@loom/worker";
import { defineWorkflow } from "@loom/workflow";
import { Absurd } from "absurd-sdk";
import pg from "pg";
import { z } from "zod";
import { connectDirectly } from "../connect.ts";
import { quiet } from "../quiet.ts";

/** How many items a worker runs at once, and how many connections an engine has. */
export const IN_FLIGHT = 24;
const CONNECTIONS = 10;

/** An engine with its worker in this process. */
export interface FanOut {
  readonly name: string;
  open(database: Database): Promise<{
    /** Lists so many items, runs one job for each, and reads all results. Returns how many there are. */
    run(items: number): Promise<number>;
    close(): Promise<void>;
  }>;
}

const listOf = (items: number) =>
  Array.from({ length: items }, (_, index) => ({ path: `film-${index}.mkv`, size: 123_456_789 }));
const encode = (film: { path: string }) => ({ out: `${film.path}.mp4` });

const NODE = "bench";

/** The items are made as a hub that leads makes them, and the worker is woken as a hub would wake it. */
export const loom: FanOut = {
  name: "Loom, direct",
  async open(database) {
    const { client, close } = connectDirectly(database, CONNECTIONS);
    const queue = createPostgresQueue({ sql: client });
    let listed = Promise.withResolvers<void>();
    let gathered = Promise.withResolvers<number>();
    const workflow = defineWorkflow({ name: "films", input: z.object({ items: z.int() }) })
      .step("list", { host: NODE }, async ({ input }) => {
        listed.resolve();
        return listOf(input.items);
      })
      .map("encode", { over: "list", host: NODE }, async ({ item }) => encode(item))
      .step("gather", { after: ["encode"], host: NODE }, async ({ results }) => {
        gathered.resolve(results.encode.length);
      });
    const worker = createWorker({
      node: { name: NODE, capabilities: [] },
      queue,
      workflows: [workflow],
      runner: createInlineRunner([workflow]),
      concurrency: IN_FLIGHT,
      prefetch: IN_FLIGHT,
      log: quiet,
    });
    const stop = new AbortController();
    const running = worker.run({ signal: stop.signal });
    return {
      async run(items) {
        listed = Promise.withResolvers();
        gathered = Promise.withResolvers();
        await queue.startRun(planRun(workflow, { input: { items } }));
        worker.wake();
        await listed.promise;
        for (let made = 0; made < items; ) {
          made += (await queue.expandMaps()).made;
          worker.wake();
        }
        return gathered.promise;
      },
      async close() {
        stop.abort();
        await running;
        await close();
      },
    };
  },
};

const QUEUE = "items";

const encodeOne = DBOS.registerWorkflow(
  async (film: { path: string }) => DBOS.runStep(async () => encode(film), { name: "encode" }),
  { name: "encodeOne" },
);
const fanOut = DBOS.registerWorkflow(
  async (items: number) => {
    const films = await DBOS.runStep(async () => listOf(items), { name: "list" });
    const handles = [];
    for (const film of films) {
      handles.push(await DBOS.startWorkflow(encodeOne, { queueName: QUEUE })(film));
    }
    const results = [];
    for (const handle of handles) results.push(await handle.getResult());
    return results.length;
  },
  { name: "fanOut" },
);

/** An item is a child workflow in a queue, which any process could take it from. */
export const dbos: FanOut = {
  name: "DBOS 5, children through a queue",
  async open({ socketDir, name }) {
    const pool = new pg.Pool({
      host: socketDir,
      database: name,
      user: "postgres",
      max: CONNECTIONS,
    });
    DBOS.setConfig({ name: "bench", systemDatabasePool: pool, logger: quiet, enableOTLP: false });
    await DBOS.launch();
    // It polls each second by default.
    await DBOS.registerQueue(QUEUE, { workerConcurrency: IN_FLIGHT, minPollingIntervalMs: 50 });
    return {
      run: async (items) => (await DBOS.startWorkflow(fanOut)(items)).getResult(),
      async close() {
        await DBOS.shutdown();
        if (!pool.ended) await pool.end();
      },
    };
  },
};

/**
 * An item is a task in a queue of its own: a task may wait only for those of another queue.
 *
 * @param schema - The SQL of its schema, which the package does not carry.
 */
export const absurd = (schema: string): FanOut => ({
  name: "absurd 0.5",
  async open({ sql, socketDir, name }) {
    await sql.unsafe(schema);
    const pool = new pg.Pool({
      host: socketDir,
      database: name,
      user: "postgres",
      max: CONNECTIONS,
    });
    const log = { ...quiet, log() {} };
    const lists = new Absurd({ db: pool, queueName: "lists", log });
    const films = new Absurd({ db: pool, queueName: QUEUE, log });
    await lists.createQueue("lists");
    await films.createQueue(QUEUE);
    films.registerTask<{ path: string }>({ name: "encode", queue: QUEUE }, async (film, step) =>
      step.step("encode", async () => encode(film)),
    );
    lists.registerTask<{ items: number }>(
      { name: "fan-out", queue: "lists" },
      async (input, task) => {
        const list = await task.step("list", async () => listOf(input.items));
        const ids: string[] = [];
        for (const [index, film] of list.entries()) {
          const spawned = () => films.spawn("encode", film, { queue: QUEUE });
          ids.push(await task.step(`spawn ${index}`, async () => (await spawned()).taskID));
        }
        let results = 0;
        for (const id of ids) {
          const { state } = await task.awaitTaskResult(id, { queue: QUEUE });
          if (state === "completed") results += 1;
        }
        return results;
      },
    );
    await lists.startWorker({ concurrency: 1 });
    await films.startWorker({ concurrency: IN_FLIGHT });
    return {
      async run(items) {
        const { taskID } = await lists.spawn("fan-out", { items });
        const ended = await lists.awaitTaskResult(taskID, { queue: "lists" });
        return ended.state === "completed" ? Number(ended.result) : 0;
      },
      async close() {
        await lists.close();
        await films.close();
        await pool.end();
      },
    };
  },
});
