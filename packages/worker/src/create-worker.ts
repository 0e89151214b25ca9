import type { ClaimedJob } from "@loom/queue";
import { workflowCapability } from "@loom/scheduler";
import { onceAborted, within } from "./abort.ts";
import { createBell } from "./bell.ts";
import { replay } from "./deliver.ts";
import { CancelledError, LeaseLostError, ShutdownError, SupersededError } from "./errors.ts";
import { findStep } from "./find-step.ts";
import { createHeldJobs, type HeldJob } from "./held-jobs.ts";
import { createLeaseClock } from "./lease-clock.ts";
import { pollDelayMs } from "./poll-delay.ts";
import { repeat } from "./repeat.ts";
import { NodeSession } from "./session.ts";
import { untraced } from "./tracing.ts";
import type { Worker, WorkerOptions, WorkerStatus } from "./worker.ts";

/** How long steps may take to end after the last abort, and their outcomes to be settled. */
const LAST_WORDS_MS = 10_000;

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
    runner,
    log,
    journal,
    concurrency = 1,
    leaseMs = 45_000,
    heartbeatMs = Math.floor(leaseMs / 3),
    pollMs = 5_000,
    maxPollMs = 2 * pollMs,
    graceMs = 20_000,
    onStarted = () => {},
    onSettled = () => {},
    tracing = untraced,
    wallClock = Date.now,
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
  const held = createHeldJobs({
    queue,
    runner,
    journal,
    revalidate,
    node: options.node.name,
    tracing,
    onStarted,
    onSettled,
    onEnded: () => bell.ring(),
    giveUp: giveUp.signal,
    log,
    wallClock,
  });
  const clock = createLeaseClock({ leaseMs, wall: wallClock });
  let isStopping = false;
  let isDraining = false;
  let isReplayed = journal === undefined;
  let nodeStatus: WorkerStatus["nodeStatus"] = null;
  let lastHeartbeatAt: Date | null = null;
  let inVain = 0;

  function start(job: ClaimedJob): HeldJob {
    const isTaken = !isStopping && !isDraining;
    const declined = { declined: `${node.name} takes no new jobs now` };
    return held.start(job, isTaken ? findStep(job, node, workflows) : declined);
  }

  function dropAll(reason: string): void {
    held.stopAll(({ id }) => new LeaseLostError(id, reason));
  }

  function onSessionLost(): void {
    log.warn({}, "session was declared dead: starting a new one");
    dropAll("the node was silent for longer than its lease");
    bell.ring();
  }

  async function beat(): Promise<void> {
    // Only what was held before the question can be missing in the answer.
    const asked = held.list();
    const askedAt = clock.now();
    const answer = await session.heartbeat();
    clock.confirm(askedAt);
    lastHeartbeatAt = new Date(wallClock());
    if (answer === null) return;
    if (answer.session === "lost") return onSessionLost();
    for (const { job, stop } of asked) {
      if (answer.held.get(job.id) !== job.fence) {
        stop.abort(new LeaseLostError(job.id, "the database says that it is not held"));
      } else if (answer.cancel.includes(job.id)) stop.abort(new CancelledError());
      else if (answer.giveBack) stop.abort(new ShutdownError());
    }
    const before = nodeStatus ?? "active";
    nodeStatus = answer.status;
    if (before === nodeStatus) return;
    log.info({ from: before, to: nodeStatus }, "the node's status was set");
    bell.ring();
  }

  /** Before anything is written after a silence, asks what still holds. */
  async function revalidate(): Promise<void> {
    if (!clock.isDoubtful() || !session.isOpen) return;
    log.warn({}, "the lease may have ended unnoticed: asking before anything is written");
    await beat().catch((error: unknown) => {
      // The heartbeats end the worker for it. What was done is offered all the same.
      if (!(error instanceof SupersededError)) throw error;
    });
  }

  /** Opens the session where needed and starts what it can claim. */
  async function claimOnce(): Promise<HeldJob[]> {
    if (journal && !isReplayed) {
      await replay(journal, { queue, node: node.name, log });
      isReplayed = true;
    }
    await revalidate();
    const askedAt = clock.now();
    if (await session.open()) {
      clock.confirm(askedAt);
      lastHeartbeatAt = new Date(wallClock());
    }
    await session.report();
    const isOpenForWork = !isDraining && (nodeStatus ?? "active") === "active";
    const free = isOpenForWork ? concurrency - held.size : 0;
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

    async drain() {
      isDraining = true;
      while (isDraining && held.size > 0) await held.ended();
    },

    resume() {
      isDraining = false;
      bell.ring();
    },

    status: () => ({
      session:
        session.epoch === undefined ? { state: "none" } : { state: "open", epoch: session.epoch },
      nodeStatus,
      isDraining: isDraining || isStopping,
      lastHeartbeatAt,
      jobs: held.describe(),
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
      const heartbeats = repeat(
        {
          round: async () => (session.isOpen ? beat() : undefined),
          pause: () => clock.sleep(heartbeatMs, { signal: alive.signal, log }),
        },
        // Never slower than the lease asks for: when the database is back, so is its reaper.
        { signal: alive.signal, log: log.child({ loop: "heartbeat" }), maxDelayMs: heartbeatMs },
      ).catch(onFault);

      await onceAborted(claiming);
      isStopping = true;
      // A claim in flight may still bring jobs: they are given back, which takes a call each.
      const drained = claims.then(() => held.ended());
      await within(graceMs, Promise.race([drained, onceAborted(abortSignal)]));
      held.stopAll(() => new ShutdownError());
      await within(LAST_WORDS_MS, drained);
      giveUp.abort();
      alive.abort();
      await heartbeats;
      await runner.close();
      if (fault.signal.aborted) throw fault.signal.reason;
    },
  };
}
