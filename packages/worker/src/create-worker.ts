import type { ClaimedJob, NodeOffer, NodeReport, NodeStatus, Queue } from "@loom/queue";
import { workflowCapability } from "@loom/scheduler";
import type { AnyWorkflow } from "@loom/workflow";
import { onceAborted, within } from "./abort.ts";
import { attempt } from "./attempt.ts";
import { createBell } from "./bell.ts";
import { CancelledError, LeaseLostError, ShutdownError, SupersededError } from "./errors.ts";
import { STUCK_AFTER_MS } from "./execute.ts";
import { findStep } from "./find-step.ts";
import type { Log } from "./log.ts";
import { pollDelayMs } from "./poll-delay.ts";
import { repeat } from "./repeat.ts";
import { NodeSession } from "./session.ts";

/** How long steps may take to end after the last abort, and their outcomes to be settled. */
const LAST_WORDS_MS = STUCK_AFTER_MS + 5_000;

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
  /** How often to look for offers unasked, while there was something lately. Default 5 000. */
  pollMs?: number;
  /** How often to look when there is nothing for long. Default twice `pollMs`. */
  maxPollMs?: number;
  /** How long running steps may go on when the worker stops. Default 20 000. */
  graceMs?: number;
  /** Called after each settled attempt: a good moment to ring the hub. */
  onSettled?: () => void;
}

export interface Worker {
  /**
   * Claims and runs one round, and waits for it. For tests and scripts: without
   * heartbeats, so steps have to be shorter than the lease, and one round at a time.
   *
   * @returns The number of jobs that were claimed.
   * @throws As `run`, and QueueUnavailableError when the claim was not answered.
   */
  tick(): Promise<number>;
  /**
   * Works until the signal aborts: then starts nothing more, lets running steps go on
   * for `graceMs`, and gives back what is left. Once in a worker's life.
   *
   * @param options.abortSignal - Stops without the grace, also while it is under way.
   * @throws SupersededError when another agent took over the node's name.
   * @throws QueueAccessError, QueueSchemaError, QueueRequestError when the database
   *   refuses this worker; steps that ran had their grace.
   */
  run(options: { signal: AbortSignal; abortSignal?: AbortSignal }): Promise<void>;
  /** Looks for offers now. Harmless at any time. */
  ring(): void;
  /** Changes what the node offers. The hub is told at once, or as soon as it can be reached. */
  report(offer: Partial<Omit<NodeOffer, "slots">>): void;
  status(): WorkerStatus;
}

/** What a worker is at, as it knows without asking. */
export interface WorkerStatus {
  /** The node's status as the hub last told it; null before it did. */
  nodeStatus: NodeStatus | null;
  /** When the last heartbeat (or hello) was answered, by this machine's clock. */
  lastHeartbeatAt: Date | null;
  jobs: RunningJob[];
}

/** A job that the worker holds. */
export interface RunningJob
  extends Pick<ClaimedJob, "id" | "fence" | "runId" | "workflow" | "step" | "attempt"> {
  startedAt: Date;
}

interface Held {
  job: ClaimedJob;
  startedAt: Date;
  stop: AbortController;
  /** Never fails. */
  ended: Promise<void>;
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
    heartbeatMs = Math.floor(leaseMs / 3),
    pollMs = 5_000,
    maxPollMs = 2 * pollMs,
    graceMs = 20_000,
    onSettled = () => {},
  } = options;
  if (heartbeatMs * 2 > leaseMs) {
    throw new RangeError(
      `a heartbeat every ${heartbeatMs} ms does not keep a lease of ${leaseMs} ms: one may be lost, so the lease has to be at least twice as long`,
    );
  }
  const workflows = new Map(options.workflows.map((workflow) => [workflow.name, workflow]));
  const withWorkflows = (capabilities: readonly string[]) => [
    ...capabilities,
    ...options.workflows.flatMap(({ name, version }) => [
      workflowCapability(name),
      workflowCapability(name, version),
    ]),
  ];
  let node = { ...options.node, capabilities: withWorkflows(options.node.capabilities) };
  const session = new NodeSession(queue, { ...node, leaseMs, slots: concurrency });
  const bell = createBell();
  const giveUp = new AbortController();
  // Not by job: a job that was lost or retried may come back before its old attempt ended.
  const held = new Set<Held>();
  let isStopping = false;
  let nodeStatus: NodeStatus | null = null;
  let lastHeartbeatAt: Date | null = null;
  let inVain = 0;

  function start(job: ClaimedJob): Held {
    const stop = new AbortController();
    const { id: jobId, fence, runId, workflow, step, attempt: number } = job;
    const chosen = isStopping
      ? { declined: `${node.name} is stopping` }
      : findStep(job, node, workflows);
    const ended = attempt(job, chosen, {
      queue,
      node: node.name,
      signal: stop.signal,
      giveUp: giveUp.signal,
      onSettled,
      log: log.child({ jobId, fence, runId, workflow, step, attempt: number }),
    }).then(() => {
      held.delete(entry);
      bell.ring();
    });
    const entry = { job, stop, ended, startedAt: new Date() };
    held.add(entry);
    return entry;
  }

  function dropAll(reason: string): void {
    for (const { job, stop } of held) stop.abort(new LeaseLostError(job.id, reason));
  }

  function onSessionLost(): void {
    log.warn({}, "session was declared dead: starting a new one");
    dropAll("the node was silent for longer than its lease");
    bell.ring();
  }

  async function beat(): Promise<void> {
    // Only what was held before the question can be missing in the answer.
    const asked = [...held];
    const answer = await session.heartbeat();
    lastHeartbeatAt = new Date();
    if (answer === null) return;
    if (answer.session === "lost") return onSessionLost();
    for (const { job, stop } of asked) {
      if (answer.held.get(job.id) !== job.fence) {
        stop.abort(new LeaseLostError(job.id, "the database says that it is not held"));
      } else if (answer.cancel.includes(job.id)) stop.abort(new CancelledError());
      else if (answer.giveBack) stop.abort(new ShutdownError());
    }
    if (answer.status === nodeStatus) return;
    log.info({ from: nodeStatus, to: answer.status }, "the node's status was set");
    nodeStatus = answer.status;
    bell.ring();
  }

  /** Opens the session where needed and starts what it can claim. */
  async function claimOnce(): Promise<Held[]> {
    if (await session.open()) lastHeartbeatAt = new Date();
    await session.report();
    const free = concurrency - held.size;
    if (free <= 0) return [];
    const jobs = await session.claim(free);
    inVain = jobs?.length === 0 ? inVain + 1 : 0;
    if (jobs !== null) return jobs.map(start);
    onSessionLost();
    return [];
  }

  return {
    ring: () => bell.ring(),

    report({ capabilities, ...rest }) {
      node = {
        ...node,
        ...rest,
        ...(capabilities && { capabilities: withWorkflows(capabilities) }),
      };
      session.change({ ...rest, ...(capabilities && { capabilities: node.capabilities }) });
      bell.ring();
    },

    status: () => ({
      nodeStatus,
      lastHeartbeatAt,
      jobs: [...held].map(({ job, startedAt }) => {
        const { id, fence, runId, workflow, step, attempt: number } = job;
        return { id, fence, runId, workflow, step, attempt: number, startedAt };
      }),
    }),

    async tick() {
      const started = await claimOnce();
      await Promise.all(started.map(({ ended }) => ended));
      return started.length;
    },

    async run({ signal, abortSignal = new AbortController().signal }) {
      const fault = new AbortController();
      const onFault = (error: unknown) => {
        if (error instanceof SupersededError) dropAll("another agent took over the node's name");
        fault.abort(error);
      };
      const claiming = AbortSignal.any([signal, abortSignal, fault.signal]);
      const claims = repeat(
        {
          round: async () => void (await claimOnce()),
          pause: () => bell.wait(pollDelayMs(inVain, { pollMs, maxPollMs }), claiming),
        },
        { signal: claiming, log: log.child({ loop: "claim" }) },
      ).catch(onFault);
      // Heartbeats go on while running steps get their grace.
      const alive = new AbortController();
      const pulse = createBell();
      const heartbeats = repeat(
        {
          round: async () => (session.isOpen ? beat() : undefined),
          pause: () => pulse.wait(heartbeatMs, alive.signal),
        },
        // Never slower than the lease asks for: when the database is back, so is its reaper.
        { signal: alive.signal, log: log.child({ loop: "heartbeat" }), maxDelayMs: heartbeatMs },
      ).catch(onFault);

      await onceAborted(claiming);
      isStopping = true;
      // A claim in flight may still bring jobs: they are given back, which takes a call each.
      const drained = claims.then(() => Promise.all([...held].map(({ ended }) => ended)));
      await within(graceMs, Promise.race([drained, onceAborted(abortSignal)]));
      for (const { stop } of held) stop.abort(new ShutdownError());
      await within(LAST_WORDS_MS, drained);
      giveUp.abort();
      alive.abort();
      await heartbeats;
      if (fault.signal.aborted) throw fault.signal.reason;
    },
  };
}
