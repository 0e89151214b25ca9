import type { ClaimedJob, NodeOffer, NodeReport, NodeStatus, Queue } from "@loom/queue";
import type { AnyWorkflow } from "@loom/workflow";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import type { Progress } from "./run-step.ts";
import type { StepRunner } from "./step-runner.ts";
import type { Tracing } from "./tracing.ts";

export interface WorkerOptions {
  /** What the node is called and offers. Its workflows are added to its capabilities. */
  node: Pick<NodeReport, "name" | "capabilities"> &
    Partial<Pick<NodeReport, "agentVersion" | "tailnetAddress" | "doorbellPort" | "facts">>;
  queue: Queue;
  workflows: readonly AnyWorkflow[];
  /** Where their steps run. The worker closes it when it has run. */
  runner: StepRunner;
  log: Log;
  /** Keeps outcomes while the database is away; without one, they are in memory only. */
  journal?: Journal;
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
  /** Called when a step's code is about to run, with the milliseconds since its claim. */
  onStarted?: (startMs: number) => void;
  /** Called after each settled attempt: a good moment to ring the hub. */
  onSettled?: () => void;
  /** Writes spans of attempts; default: none. */
  tracing?: Tracing;
  /** The machine's wall clock, in milliseconds. Default `Date.now`. */
  wallClock?: () => number;
}

/** What a worker is at, as it knows without asking. */
export interface WorkerStatus {
  /** `none`: not opened yet, or lost and not opened again. */
  session: { state: "open"; epoch: number } | { state: "none" };
  /** The node's status as the hub last told it; null before it did. */
  nodeStatus: NodeStatus | null;
  /** It takes no new jobs, because it was asked to drain or to stop. */
  isDraining: boolean;
  /** When the last heartbeat (or hello) was answered, by this machine's clock. */
  lastHeartbeatAt: Date | null;
  jobs: RunningJob[];
}

/** A job that the worker holds. */
export interface RunningJob
  extends Pick<ClaimedJob, "id" | "fence" | "runId" | "workflow" | "step" | "attempt"> {
  startedAt: Date;
  /** What its step last told; null before it did. */
  progress: Progress | null;
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
  /** Takes no new jobs until `resume`. Resolves when those that it holds are over. */
  drain(): Promise<void>;
  resume(): void;
  status(): WorkerStatus;
}
