import type { ClaimedJob, NodeReport, Queue } from "@loom/queue";
import { workflowCapability } from "@loom/scheduler";
import type { AnyWorkflow } from "@loom/workflow";
import { onceAborted, within } from "./abort.ts";
import { createBell } from "./bell.ts";
import { CancelledError, LeaseLostError, ShutdownError, SupersededError } from "./errors.ts";
import { execute } from "./execute.ts";
import { findStep } from "./find-step.ts";
import type { Log } from "./log.ts";
import { repeat } from "./repeat.ts";
import { NodeSession } from "./session.ts";
import { settle } from "./settle.ts";

/** A declined job is not offered again before the node's report may have changed. */
const DECLINED_DELAY_MS = 5_000;
/** How long the last outcomes may take to reach the database when the worker stops. */
const LAST_WORDS_MS = 5_000;

export interface WorkerOptions {
  /** What the node is called and offers. Its workflows are added to its capabilities. */
  node: Pick<NodeReport, "name" | "capabilities"> &
    Partial<Pick<NodeReport, "agentVersion" | "tailnetAddress" | "doorbellPort" | "facts">>;
  queue: Queue;
  workflows: readonly AnyWorkflow[];
  log: Log;
  /** Steps at a time. Default 1. */
  concurrency?: number;
  /** How long the node may be silent before it may be declared dead. Default 45 000. */
  leaseMs?: number;
  /** Default: a third of the lease. */
  heartbeatMs?: number;
  /** How often to look for offers unasked. Default 5 000. */
  pollMs?: number;
  /** How long running steps may go on when the worker stops. Default 20 000. */
  graceMs?: number;
  /** Called after each settled attempt: a good moment to ring the hub. */
  onSettled?: () => void;
}

export interface Worker {
  /**
   * Claims and runs one round, and waits for it.
   *
   * @returns The number of jobs that were run.
   */
  tick(): Promise<number>;
  /**
   * Works until the signal aborts: then claims nothing more, lets running steps go on
   * for `graceMs`, and gives back what is left.
   *
   * @throws SupersededError when another agent took over the node's name.
   */
  run(options: { signal: AbortSignal }): Promise<void>;
  /** Looks for offers now. Harmless at any time. */
  ring(): void;
}

interface Held {
  job: ClaimedJob;
  stop: AbortController;
  settled: Promise<void>;
}

/**
 * The loop that executes steps on a node.
 *
 * A step is aborted when the database says that its job is no longer this node's:
 * the session was declared dead, or a heartbeat's answer does not list it. While the
 * database cannot be reached nothing is known to be lost, and steps go on: their
 * outcome is accepted if nobody has claimed the job since.
 */
export function createWorker(options: WorkerOptions): Worker {
  const {
    queue,
    log,
    concurrency = 1,
    leaseMs = 45_000,
    pollMs = 5_000,
    graceMs = 20_000,
  } = options;
  const heartbeatMs = options.heartbeatMs ?? Math.floor(leaseMs / 3);
  if (heartbeatMs * 2 > leaseMs) {
    throw new RangeError(
      `a heartbeat every ${heartbeatMs} ms does not keep a lease of ${leaseMs} ms: one may be lost, so the lease has to be at least twice as long`,
    );
  }
  const workflows = new Map(options.workflows.map((workflow) => [workflow.name, workflow]));
  const node = {
    ...options.node,
    capabilities: [
      ...options.node.capabilities,
      ...options.workflows.map(({ name }) => workflowCapability(name)),
    ],
  };
  const session = new NodeSession(queue, { ...node, leaseMs, slots: concurrency });
  const bell = createBell();
  const held = new Map<number, Held>();
  const giveUp = new AbortController();

  function dropAll(reason: string): void {
    for (const { job, stop } of held.values()) stop.abort(new LeaseLostError(job.id, reason));
  }

  async function beat(): Promise<void> {
    // Only what was held before the question can be missing in the answer.
    const asked = [...held.values()];
    const answer = await session.heartbeat();
    if (answer === null) return;
    if (answer.session === "lost") {
      log.warn({}, "session was declared dead: starting a new one");
      dropAll("the node was silent for longer than its lease");
      bell.ring();
      return;
    }
    for (const { job, stop } of asked) {
      if (!held.has(job.id)) continue;
      if (answer.held.get(job.id) !== job.fence) {
        stop.abort(new LeaseLostError(job.id, "the database says that it is not held"));
      } else if (answer.cancel.includes(job.id)) stop.abort(new CancelledError());
    }
  }

  /** Opens the session where needed and starts what it can claim. */
  async function claimOnce(): Promise<Held[]> {
    await session.open();
    const free = concurrency - held.size;
    if (free <= 0) return [];
    const jobs = await session.claim(free);
    if (jobs === null) {
      dropAll("the node was silent for longer than its lease");
      bell.ring();
      return [];
    }
    return jobs.filter(({ id }) => !held.has(id)).map(start);
  }

  function start(job: ClaimedJob): Held {
    const stop = new AbortController();
    const jobLog = log.child({
      jobId: job.id,
      fence: job.fence,
      runId: job.runId,
      workflow: job.workflow,
      step: job.step,
      attempt: job.attempt,
    });
    const deps = { queue, node: node.name, giveUp: giveUp.signal, log: jobLog };
    const step = findStep(job, node, workflows);

    const attempt = async (): Promise<void> => {
      if ("declined" in step) {
        jobLog.warn({ reason: step.declined }, "job declined");
        const { declined: reason } = step;
        await settle(job, { outcome: "released", reason, delayMs: DECLINED_DELAY_MS }, deps);
        return;
      }
      jobLog.info({}, "step started");
      const running = execute(job, step, { node: node.name, signal: stop.signal, log: jobLog });
      await settle(job, await running.outcome, deps);
      options.onSettled?.();
      await running.ended;
    };
    const settled = attempt()
      .catch((error: unknown) =>
        jobLog.error({ err: error }, "attempt ended in a fault of the worker"),
      )
      .finally(() => {
        held.delete(job.id);
        bell.ring();
      });
    const entry = { job, stop, settled };
    held.set(job.id, entry);
    return entry;
  }

  return {
    ring: () => bell.ring(),

    async tick() {
      const started = await claimOnce();
      await Promise.all(started.map(({ settled }) => settled));
      return started.length;
    },

    async run({ signal }) {
      // Heartbeats go on while running steps get their grace.
      const alive = new AbortController();
      const fault = new AbortController();
      const claiming = AbortSignal.any([signal, fault.signal]);
      const onFault = (error: unknown) => {
        if (error instanceof SupersededError) dropAll(error.message);
        fault.abort(error);
      };
      const claims = repeat(
        {
          round: async () => void (await claimOnce()),
          pause: () => bell.wait(pollMs * (0.75 + Math.random() / 2), claiming),
        },
        { signal: claiming, log: log.child({ loop: "claim" }) },
      ).catch(onFault);
      const pulse = createBell();
      const heartbeats = repeat(
        {
          round: async () => (session.isOpen ? beat() : undefined),
          pause: () => pulse.wait(heartbeatMs, alive.signal),
        },
        { signal: alive.signal, log: log.child({ loop: "heartbeat" }) },
      ).catch(onFault);

      await onceAborted(claiming);
      // A claim in flight may still bring jobs: they get the grace like the others.
      await claims;
      const steps = () => Promise.all([...held.values()].map(({ settled }) => settled));
      await within(graceMs, steps());
      for (const { stop } of held.values()) stop.abort(new ShutdownError());
      await within(LAST_WORDS_MS, steps());
      giveUp.abort();
      alive.abort();
      await heartbeats;
      if (fault.signal.aborted) throw fault.signal.reason;
    },
  };
}
