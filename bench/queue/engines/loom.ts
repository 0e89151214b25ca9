import type { ClaimedJob, Queue, Session, Settlement } from "@loom/queue";
import { createHttpQueue } from "@loom/queue/http";
import { createPostgresQueue } from "@loom/queue/postgres";
import { connectDirectly, postgrestSocket } from "../../connect.ts";
import {
  batches,
  type Engine,
  type EngineKind,
  type InputSize,
  inLoops,
  inputOf,
  LOOPS,
  RESULT,
  seconds,
} from "../engine.ts";

const SLOTS = 10_000;

export const loomDirect: EngineKind = {
  name: "@loom/queue, direct",
  over: "postgres",
  async open(database, input) {
    const { client, close } = connectDirectly(database, LOOPS);
    return engine(createPostgresQueue({ sql: client, timeoutMs: 60_000 }), input, close);
  },
};

/** With the client that hubs and agents have. */
export const loomRest: EngineKind = {
  name: "@loom/queue, PostgREST",
  over: "postgrest",
  async open(database, input) {
    const address = { url: "http://postgrest", socketPath: postgrestSocket(database) };
    const queue = createHttpQueue({ ...address, key: database.serviceKey, timeoutMs: 60_000 });
    return engine(queue, input, async () => {});
  },
};

/** Every loop is a node, and every job names one, so nothing has to be placed. */
function engine(queue: Queue, input: InputSize, close: () => Promise<void>): Engine {
  const nodes = Array.from({ length: LOOPS }, (_, loop) => `node-${loop}`);
  return {
    close,

    enqueue: (jobs, batch) =>
      seconds(async () => {
        for (const part of batches(jobs, batch)) {
          await queue.enqueue(
            part.map((index) => ({
              workflow: "bench",
              step: "only",
              input: inputOf(index, input),
              host: nodes[index % LOOPS] ?? "",
            })),
          );
        }
      }),

    async drain(jobs, batch) {
      const loops = await Promise.all(nodes.map((node) => openLoop(queue, node)));
      return await seconds(() =>
        inLoops(jobs, (number) => {
          const loop = loops[number];
          if (!loop) throw new Error("no session");
          return workOff(queue, loop, batch);
        }),
      );
    },
  };
}

/** A node's session, its last claim, and the jobs that it holds. */
export interface NodeLoop {
  readonly session: Session;
  seq: number;
  held: ClaimedJob[];
}

/** Opens a session that can hold as many jobs as a batch has. */
export async function openLoop(queue: Queue, node: string): Promise<NodeLoop> {
  const { epoch } = await queue.hello({
    name: node,
    incarnation: crypto.randomUUID(),
    leaseMs: 3_600_000,
    capabilities: [],
    slots: SLOTS,
  });
  return { session: { node, epoch }, seq: 0, held: [] };
}

/**
 * Settles what the last round claimed and claims the next jobs, in one call.
 *
 * @returns The number of jobs that were settled.
 */
export async function workOff(queue: Queue, loop: NodeLoop, batch: number): Promise<number> {
  loop.seq += 1;
  const { settled, claim } = await queue.exchange(loop.session, {
    settle: outcomesOf(loop.held),
    claim: { seq: loop.seq, limit: batch },
  });
  if (claim?.session !== "live") throw new Error(`${loop.session.node} is ${claim?.session}`);
  loop.held = claim.jobs;
  return settled.filter(({ answer }) => answer === "accepted").length;
}

const outcomesOf = (held: readonly ClaimedJob[]): Settlement[] =>
  held.map(({ id, fence, runId }) => ({
    id,
    fence,
    outcome: "succeeded",
    result: RESULT,
    isSingle: runId === null,
  }));

/** @returns How many settlements were accepted. */
export async function settleHeld(queue: Queue, loop: NodeLoop): Promise<number> {
  if (loop.held.length === 0) return 0;
  const answers = await queue.settle(loop.session.node, outcomesOf(loop.held));
  loop.held = [];
  return answers.filter(({ answer }) => answer === "accepted").length;
}

/** Claims jobs and keeps them in `held`. */
export async function claimNext(queue: Queue, loop: NodeLoop, limit: number): Promise<void> {
  loop.seq += 1;
  const answer = await queue.claim(loop.session, { seq: loop.seq, limit });
  if (answer.session !== "live") throw new Error(`${loop.session.node} is ${answer.session}`);
  loop.held.push(...answer.jobs);
}
