import { generateKeyPairSync, randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createUploads, openFolderStore } from "@loom/files";
import { createDispatcher, createHub } from "@loom/hub";
import { type ClusterInfo, type ProcessExit, startProcess } from "@loom/local-db";
import type { ClaimedJob, Queue } from "@loom/queue";
import { createHttpQueue } from "@loom/queue/http";
import { databaseTest } from "@loom/queue/testing";
import { createInlinePlanner, type Log } from "@loom/worker";
import { defineWorkflow } from "@loom/workflow";
import { pino } from "pino";
import { onTestFinished } from "vitest";
import { z } from "zod";

declare module "vitest" {
  // The queue's global set-up provides this.
  export interface ProvidedContext {
    cluster: ClusterInfo;
  }
}

export const TOKEN = "a-token-for-this-test";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
/** The key with which the hub of a test signs commands. */
export const signingKey = { privateKey, publicKey: String(publicKey.export({ format: "jwk" }).x) };

const hello = defineWorkflow({ name: "hello" }).step(
  "greet",
  { requires: ["loom-hub"] },
  async ({ node }) => ({ greetedBy: node }),
);

/** Two steps: any node with a GPU, then the node that the input names, if it names one. */
const train = defineWorkflow({
  name: "train",
  input: z.object({ host: z.string().optional(), notes: z.string().optional() }),
})
  .step("fit", { requires: ["has-gpu"] }, async () => ({ loss: 0.1 }))
  .step("report", { after: ["fit"], host: ({ input }) => input.host }, async () => {});

/** Six steps, one after the other. */
const chain = defineWorkflow({ name: "chain" })
  .step("a", {}, async () => {})
  .step("b", { after: ["a"] }, async () => {})
  .step("c", { after: ["b"] }, async () => {})
  .step("d", { after: ["c"] }, async () => {})
  .step("e", { after: ["d"] }, async () => {})
  .step("f", { after: ["e"] }, async () => {});

/** One step, which no other node than the hub of most tests may run. */
const pinned = defineWorkflow({ name: "pinned" }).step("only", { host: "oracle" }, async () => {});

/** Its schema cannot parse its own output again. */
const charge = defineWorkflow({
  name: "charge",
  input: z.object({ amount: z.number().transform((amount) => amount * 100) }),
}).step("only", { requires: ["loom-hub"] }, async () => {});

export const workflows = [hello, train, chain, pinned, charge];

/** A logger whose lines are kept as objects. */
export function collectLog() {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "info" }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { lines, log };
}

/** Answers of the hub are JSON objects; tests say what they expect of them. */
export type Body = Record<string, unknown>;

/** The part of a hub that tests need; its full type is more than the compiler can take in here. */
interface App {
  request(path: string, init?: RequestInit): Response | Promise<Response>;
}

export const test = databaseTest
  // As the hub's own.
  .extend("queue", ({ database: { url, serviceKey } }) => createHttpQueue({ url, key: serviceKey }))
  .extend("app", async ({ queue }, { onCleanup }): Promise<App> => {
    const folder = mkdtempSync(path.join(tmpdir(), "loom-hub-files-"));
    const store = await openFolderStore(folder);
    const log = pino({ level: "silent" });
    const uploads = createUploads({ store, queue, log });
    onCleanup(async () => {
      await uploads.close();
      rmSync(folder, { recursive: true, force: true });
    });
    return createHub({
      queue,
      files: { store, uploads },
      planner: createInlinePlanner(workflows),
      log,
      token: TOKEN,
      signingKey,
      rateLimit: { burst: 1_000_000, perSecond: 1_000_000 },
    });
  })
  .extend(
    "call",
    ({ app }) =>
      async (
        method: "GET" | "POST" | "PATCH" | "DELETE",
        path: string,
        body?: unknown,
        headers: Record<string, string> = {},
      ) => {
        const answer = await app.request(`/api/loom${path}`, {
          method,
          headers: {
            authorization: `Bearer ${TOKEN}`,
            ...(body !== undefined && { "content-type": "application/json" }),
            ...headers,
          },
          ...(body !== undefined && { body: JSON.stringify(body) }),
        });
        const text = await answer.text();
        return {
          status: answer.status,
          body: (text === "" ? {} : JSON.parse(text)) as Body,
          headers: answer.headers,
        };
      },
  )
  .extend("countRows", ({ database }) => async () => {
    const [counts] = await database.sql<{ runs: number; jobs: number }[]>`
      select (select count(*)::int from public.loom_runs) as runs,
             (select count(*)::int from public.loom_job_queue) as jobs`;
    return counts;
  });

/** A dispatcher that reads what waits by itself, and returns the nodes that got an offer. */
export function dispatchWaiting(queue: Queue, log: Log = pino({ level: "silent" })) {
  const dispatcher = createDispatcher({ queue, log });
  return {
    async place(): Promise<Set<string>> {
      const waiting = await queue.listWaiting();
      const nodes = await queue.listNodes();
      return (await dispatcher.place({ waiting, nodes })).offered;
    },
  };
}

/** Runs whatever is placed on a node to a good end, round by round, until nothing is left. */
export async function runAll(queue: Queue, session: { node: string; epoch: number }) {
  for (let seq = 1; ; seq += 1) {
    const waiting = await queue.listWaiting();
    const offers = waiting.map(({ id }) => ({ job: id, node: session.node, placement: null }));
    await queue.place({ offers, refusals: [] });
    const jobs = await claim(queue, session, seq);
    if (jobs.length === 0) return;
    await queue.settle(
      session.node,
      jobs.map(({ id, fence }) => ({ id, fence, outcome: "succeeded", result: { ok: true } })),
    );
  }
}

/** Opens a session, as an agent that has just started. */
export async function sayHello(
  queue: Queue,
  name: string,
  {
    capabilities = [],
    slots = 10,
    isHub = false,
    leaseMs = 45_000,
  }: { capabilities?: string[]; slots?: number; isHub?: boolean; leaseMs?: number } = {},
) {
  const incarnation = randomUUID();
  const report = { name, incarnation, leaseMs, capabilities, slots, isHub };
  return { node: name, epoch: (await queue.hello(report)).epoch };
}

/** Claims what the node is offered, and fails unless its session is alive. */
export async function claim(
  queue: Queue,
  session: { node: string; epoch: number },
  seq: number,
  limit = 10,
): Promise<ClaimedJob[]> {
  const answer = await queue.claim(session, { seq, limit });
  if (answer.session !== "live") throw new Error(`the session is ${answer.session}`);
  return answer.jobs;
}

/** The state folder of the hubs of these tests, which are on one machine. */
const STATE = mkdtempSync(path.join(tmpdir(), "loom-hub-"));
process.once("exit", () => rmSync(STATE, { recursive: true, force: true }));

const MAIN = fileURLToPath(import.meta.resolve("@loom/hub/main"));

/** A `loom-hub` of its own, stopped at the end of the test at the latest. */
export async function startProgram(args: string[], env: Record<string, string> = {}) {
  const waiting = new Map<string, (facts: Body) => void>();
  const output: string[] = [];
  const { PATH, NODE_COMPILE_CACHE } = process.env;
  const child = await startProcess(process.execPath, ["--conditions=@loom/source", MAIN, ...args], {
    // Nothing of this machine's own settings.
    env: { PATH, NODE_COMPILE_CACHE, LOOM_STATE_DIR: STATE, ...env },
    stopSignal: "SIGTERM",
    onLine(line) {
      output.push(line);
      if (!line.startsWith("{")) return;
      const facts = JSON.parse(line) as Body;
      waiting.get(String(facts.msg))?.(facts);
    },
  });
  onTestFinished(async () => void (await child.stop()));
  return {
    child,
    output,
    /** Resolves with the facts of the next line that has this message. */
    said: (message: string) =>
      new Promise<Body>((resolve, reject) => {
        waiting.set(message, resolve);
        void child.exited.then(({ log }) => reject(new Error(`it ended:\n${log}`)));
      }),
  };
}

/** Runs `loom-hub` to its end. */
export async function runProgram(
  args: string[],
  env: Record<string, string> = {},
): Promise<ProcessExit> {
  return (await startProgram(args, env)).child.exited;
}
