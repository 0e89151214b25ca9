import type { ClaimedJob, UnreadableClaim } from "@loom/queue";
import { CODE_CAPABILITY, workflowCapability } from "@loom/scheduler";
import { EXEC_CAPABILITY, limits } from "@loom/workflow";
import { findStep } from "./attempt.ts";
import { createExchangeLoop } from "./exchange-loop.ts";
import { createHeldJobs, type HeldJob } from "./held-jobs.ts";
import { replay } from "./journal.ts";
import { CancelledError, LeaseLostError, ShutdownError, UnreadableJobError } from "./outcome.ts";
import {
  type Beat,
  createLeaseClock,
  NodeSession,
  type SessionAnswer,
  SupersededError,
} from "./session.ts";
import { type NodeFault, watchForFaults } from "./step-process/node-fault.ts";
import { untraced } from "./tracing.ts";
import { createWaker, onceAborted, within } from "./wait.ts";
import type { KnownWorkflow, Worker, WorkerOptions, WorkerStatus } from "./worker.ts";

/** How long steps may take to end and be settled after the last abort. */
const LAST_OUTCOMES_MS = 10_000;

type Claimed = NonNullable<SessionAnswer["claimed"]>;

const byName = (workflows: readonly KnownWorkflow[]) =>
  new Map(workflows.map((workflow) => [workflow.name, workflow]));

/**
 * Creates the loop that executes steps on a node.
 *
 * A step is aborted when the database says that this node no longer holds its job: the session was
 * declared dead, or a heartbeat's answer does not list the job. While the database cannot be reached,
 * steps go on. Their outcome is accepted if nobody has claimed the job since.
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
    prefetch = 0,
    graceMs = 20_000,
    onStarted = () => {},
    onSettled = () => {},
    onUpgrade = () => {},
    tracing = untraced,
    wallClock = Date.now,
  } = options;
  if (heartbeatMs * 2 > leaseMs) {
    throw new RangeError(
      `a heartbeat every ${heartbeatMs} ms does not keep a lease of ${leaseMs} ms: one may be lost, so the lease has to be at least twice as long`,
    );
  }
  let workflows = byName(options.workflows);
  let offered = options.node.capabilities;
  const withWorkflows = () => [
    // The node's policy says whether it runs commands, and not a list of capabilities.
    ...offered.filter((capability) => capability !== EXEC_CAPABILITY),
    ...(options.exec?.capabilities ?? []),
    ...[...workflows.values()].flatMap(({ name, version }) => [
      workflowCapability(name),
      workflowCapability(name, version),
    ]),
  ];
  let base = options.node;
  /** Returns the node's present offer. A machine that cannot run steps offers no code and reports the fault. */
  const offerNow = () => ({
    ...base,
    capabilities: fault
      ? offered.filter((each) => each !== CODE_CAPABILITY && each !== EXEC_CAPABILITY)
      : withWorkflows(),
    facts: fault ? { ...base.facts, fault } : base.facts,
  });
  let fault: NodeFault | null = null;
  let node = offerNow();
  let isStopping = false;
  let isRefused = false;
  let isDraining = false;
  let isPrefetchPaused = false;
  /** How many jobs the node takes now. */
  const slotsNow = () =>
    isDraining ? 0 : Math.min(limits.slots, concurrency + (isPrefetchPaused ? 0 : prefetch));
  const session = new NodeSession(queue, { ...node, leaseMs, slots: slotsNow() }, options.machine);
  const attemptEnded = createWaker();
  const giveUp = new AbortController();
  const clock = createLeaseClock({ leaseMs, wall: wallClock });
  const held = createHeldJobs({
    concurrency,
    queue,
    database: () => session.database,
    runner,
    journal,
    revalidate: async () => {
      if (clock.isDoubtful() && session.isOpen) await loop.confirm();
    },
    send: (outcome) => loop.send(outcome),
    node: options.node.name,
    tracing,
    onStarted,
    onSettled,
    onSlotFree: () => loop.claim(),
    onEnded() {
      if (isPrefetchPaused && held.isIdle) pausePrefetch(false);
      attemptEnded.wake();
    },
    onOverdue: () => pausePrefetch(true),
    giveUp: giveUp.signal,
    log,
    wallClock,
  });
  const loop = createExchangeLoop({
    ...{ session, node: options.node.name, clock, heartbeatMs, pollMs, maxPollMs },
    isBatching: prefetch > 0,
    log: log.child({ loop: "exchange" }),
    open,
    mode: () => (isRefused ? "refused" : isStopping ? "stopping" : "all"),
    room,
    onRenew,
    onClaimed,
    onLost,
  });
  let isReplayed = journal === undefined;
  let nodeStatus: WorkerStatus["nodeStatus"] = null;
  let lastHeartbeatAt: Date | null = null;
  /** Runs until the deadline of a drain. */
  let draining: NodeJS.Timeout | undefined;

  function start(job: ClaimedJob): HeldJob {
    const older = held.find(job.id);
    // The database has given the job back, and this node does not know it yet.
    older?.stop.abort(new LeaseLostError(job.id, "it has been claimed again"));
    if (older)
      return held.decline(job, `an earlier attempt of it is still being ended on ${node.name}`);
    if (isStopping || isDraining) return held.decline(job, `${node.name} takes no new jobs now`);
    const fault = runner.fault();
    if (fault) return held.decline(job, fault.reason);
    return held.start(job, () => findStep(job, node, workflows, options.exec));
  }

  function refuse({ job, problem }: UnreadableClaim): HeldJob {
    return held.start(job, () => {
      throw new UnreadableJobError(job.id, problem);
    });
  }

  function changeOffer(): void {
    node = offerNow();
    const { capabilities, tailnetAddress, wakePort, facts } = node;
    session.change({ capabilities, tailnetAddress, wakePort, facts });
    loop.claim();
  }

  /** Tells the hub how many jobs the node takes now. */
  function changeSlots(): void {
    session.change({ slots: slotsNow() });
    loop.claim();
  }

  /** A node whose steps take long takes no jobs ahead. */
  function pausePrefetch(isPaused: boolean): void {
    if (isPrefetchPaused === isPaused) return;
    isPrefetchPaused = isPaused;
    changeSlots();
  }

  function dropAll(reason: string): void {
    held.stopAll(({ id }) => new LeaseLostError(id, reason));
  }

  function onLost(): void {
    log.warn({}, "session was declared dead: starting a new one");
    dropAll("the node was silent for longer than its lease");
  }

  /** Begins a heartbeat. Its answer can only miss jobs that are held now. */
  function onRenew(): (beat: Beat) => void {
    const asked = held.list().filter(({ slot }) => !slot.isSent);
    return (beat) => {
      lastHeartbeatAt = new Date(wallClock());
      for (const { job, stop } of asked) {
        if (beat.held.get(job.id) !== job.fence) {
          stop.abort(new LeaseLostError(job.id, "the database says that it is not held"));
        } else if (beat.cancel.includes(job.id)) stop.abort(new CancelledError());
        else if (beat.giveBack) stop.abort(new ShutdownError());
      }
      if (beat.upgrade !== null) onUpgrade(beat.upgrade);
      const before = nodeStatus ?? "active";
      nodeStatus = beat.status;
      if (before === nodeStatus) return;
      log.info({ from: before, to: nodeStatus }, "the node's status was set");
      if (nodeStatus !== "active") held.stopWaiting(`${node.name} is ${nodeStatus}`);
      loop.claim();
    };
  }

  /** Sends what an earlier start left, opens the session, and reports what the node offers. */
  async function open(): Promise<void> {
    if (journal && !isReplayed) {
      await replay(journal, { queue, node: node.name, log });
      isReplayed = true;
    }
    const askedAt = clock.now();
    if (await session.open()) {
      clock.confirm(askedAt);
      lastHeartbeatAt = new Date(wallClock());
    }
    if (!clock.isDoubtful()) await session.report();
  }

  function room(leaving: number): number {
    const isActive = (nodeStatus ?? "active") === "active";
    if (!isActive || runner.fault() !== null || held.isEndingLost()) return 0;
    return Math.max(0, slotsNow() - held.taken + leaving);
  }

  function onClaimed({ jobs, unreadable }: Claimed): boolean {
    for (const job of jobs) start(job);
    for (const claim of unreadable) refuse(claim);
    return jobs.length + unreadable.length > 0;
  }

  return {
    wake() {
      loop.renew();
      loop.claim();
    },

    report({ capabilities, workflows: known, ...rest }) {
      if (capabilities) offered = capabilities;
      if (known) workflows = byName(known);
      base = { ...base, ...rest };
      changeOffer();
    },

    async drain({ withinMs } = {}) {
      isDraining = true;
      held.stopWaiting(`${node.name} takes no new jobs now`);
      changeSlots();
      let isLate = false;
      const giveBack = () => {
        isLate = true;
        log.warn(
          { jobs: held.describe().map(({ id }) => id), withinMs },
          "the time to finish is over: giving back what runs",
        );
        held.stopAll(() => new ShutdownError(`${node.name} had to be free by now`));
      };
      clearTimeout(draining);
      if (withinMs !== undefined) draining = setTimeout(giveBack, withinMs);
      while (isDraining && held.size > 0) {
        // What a claim brought that was under way at the deadline.
        if (isLate) held.stopAll(() => new ShutdownError(`${node.name} had to be free by now`));
        await held.ended();
      }
      if (held.size === 0) clearTimeout(draining);
    },

    resume() {
      isDraining = false;
      clearTimeout(draining);
      changeSlots();
    },

    status: () => ({
      session:
        session.epoch === undefined ? { state: "none" } : { state: "open", epoch: session.epoch },
      nodeStatus,
      isDraining: isDraining || isStopping,
      lastHeartbeatAt,
      fault: runner.fault(),
      jobs: held.describe(),
    }),

    async refresh() {
      // The loop logs the error.
      if (session.isOpen) await loop.confirm().catch(() => {});
    },

    async tick() {
      const before = new Set(held.list());
      isStopping = false;
      loop.claim();
      await loop.once();
      const started = held.list().filter((job) => !before.has(job));
      isStopping = true;
      const ended = new AbortController();
      void Promise.all(started.map((job) => job.ended)).then(() => ended.abort());
      await loop.run({ signal: ended.signal });
      return started.length;
    },

    async run({ signal, abortSignal = new AbortController().signal }) {
      const refused = new AbortController();
      const onRefused = (error: unknown) => {
        isStopping = isRefused = true;
        if (error instanceof SupersededError) dropAll("another agent took over the node's name");
        refused.abort(error);
      };
      const claiming = AbortSignal.any([signal, abortSignal, refused.signal]);
      const watching = watchForFaults({
        runner,
        log,
        attemptEnded,
        signal: claiming,
        onChange(changed) {
          fault = changed;
          changeOffer();
        },
      });
      isStopping = claiming.aborted;
      // It goes on while running steps get their grace.
      const alive = new AbortController();
      const talking = (async () => {
        while (!alive.signal.aborted) await loop.run({ signal: alive.signal }).catch(onRefused);
      })();

      await onceAborted(claiming);
      isStopping = true;
      held.stopWaiting("the worker is stopping");
      // A claim in flight may still bring jobs, which are given back.
      const drained = loop.answered().then(() => held.ended());
      await within(graceMs, Promise.race([drained, onceAborted(abortSignal)]));
      held.stopAll(() => new ShutdownError());
      await within(LAST_OUTCOMES_MS, drained);
      giveUp.abort();
      alive.abort();
      await talking;
      await watching;
      await runner.close();
      if (refused.signal.aborted) throw refused.signal.reason;
    },
  };
}
