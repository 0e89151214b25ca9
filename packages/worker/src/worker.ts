import type {
  ClaimedJob,
  NodeMachine,
  NodeProfile,
  NodeReport,
  NodeStatus,
  Queue,
} from "@loom/queue";
import type { JsonValue } from "@loom/workflow";
import type { ExecGate } from "./exec/gate.ts";
import type { Journal } from "./journal.ts";
import type { Log } from "./log.ts";
import type { NodeFault } from "./step-process/node-fault.ts";
import type { Progress } from "./step-process/run-step.ts";
import type { StepRunner } from "./step-process/step-runner.ts";
import type { Tracing } from "./tracing.ts";

export interface WorkerOptions {
  /** The node's name and profile. The worker adds the workflows to its capabilities. */
  node: Pick<NodeReport, "name" | "capabilities"> &
    Partial<Pick<NodeReport, "agentVersion" | "tailnetAddress" | "wakePort" | "facts" | "isHub">>;
  /** Describes the machine at each hello. Without it, any machine may take the node's name. */
  machine?: (() => NodeMachine) | undefined;
  queue: Queue;
  workflows: readonly KnownWorkflow[];
  /** Runs the steps. The worker closes it when `run` ends. */
  runner: StepRunner;
  log: Log;
  /** Decides about jobs that are commands. Without it, the node runs none. */
  exec?: ExecGate | undefined;
  /** Keeps outcomes while the database is away. Without one, they are in memory only. */
  journal?: Journal;
  /** The number of steps that run at once. Default 1. */
  concurrency?: number;
  /**
   * How many more jobs to claim ahead, for steps that take milliseconds. Outcomes are then settled in batches. A job
   * that has not begun goes back without an attempt when the worker stops or drains, or after 10 s. Default 0.
   */
  prefetch?: number | undefined;
  /** How long the node may be silent before it may be declared dead. Default 45 000. */
  leaseMs?: number;
  /** The longest time between two heartbeats. Default: a third of the lease. */
  heartbeatMs?: number;
  /**
   * How often to ask, with a heartbeat, for jobs that no wake-up announced, after some were found. Heartbeats are as
   * frequent as the lease demands in any case. Default 5 000.
   */
  pollMs?: number;
  /** How often at most, after many heartbeats that found none. Default twice `pollMs`. */
  maxPollMs?: number;
  /** How long running steps may go on when the worker stops. Default 20 000. */
  graceMs?: number;
  /** Called when a step's code is about to run, with the milliseconds since its claim. */
  onStarted?: (startMs: number) => void;
  /** Called after each settled attempt: a good moment to wake the hub. */
  onSettled?: () => void;
  /** Called with each heartbeat whose answer has an order to take another agent. */
  onUpgrade?: (order: string) => void;
  /** Writes spans of attempts; default: none. */
  tracing?: Tracing;
  /** The machine's wall clock, in milliseconds. Default `Date.now`. */
  wallClock?: () => number;
}

/** The names of a workflow and its steps that a node can run. Their code is with the runner. */
export interface KnownWorkflow {
  readonly name: string;
  readonly version: string;
  readonly steps: readonly KnownStep[];
}

export interface KnownStep {
  readonly name: string;
  /** What the step gets in place of the job's input. */
  readonly input?: JsonValue;
}

/** A worker's status, known without a call to the database. */
export interface WorkerStatus {
  /** `none`: not opened yet, or lost and not yet opened again. */
  session: { state: "open"; epoch: number } | { state: "none" };
  /** The last status of the node that the database reported; null before the first report. */
  nodeStatus: NodeStatus | null;
  /** Whether it takes no new jobs because it drains or stops. */
  isDraining: boolean;
  /** The time of the last answered heartbeat or hello, by this machine's clock. */
  lastHeartbeatAt: Date | null;
  /** The reason why its machine cannot run steps; null when it can. */
  fault: NodeFault | null;
  jobs: RunningJob[];
}

/** A job that the worker holds. */
export interface RunningJob
  extends Pick<ClaimedJob, "id" | "fence" | "runId" | "workflow" | "step" | "attempt"> {
  startedAt: Date;
  /** The last progress that its step reported; null before the first report. */
  progress: Progress | null;
}

export interface Worker {
  /**
   * Claims jobs once, runs them and waits for them. For tests and scripts. Call it one at a time.
   *
   * @returns The number of jobs that were claimed.
   * @throws As `run`, and QueueUnavailableError when the claim was not answered.
   */
  tick(): Promise<number>;
  /**
   * Claims and runs jobs until the signal aborts. Then it starts nothing more, lets running steps go on
   * for `graceMs`, and gives the rest back. Call it once.
   *
   * @param options.abortSignal - Stops without the grace, or ends the grace.
   * @throws SupersededError when another agent took over the node's name.
   * @throws NodeNameInUseError while another machine holds the node's name.
   * @throws QueueAccessError, QueueSchemaError, QueueRequestError when the database
   *   refuses this worker. Running steps had their grace.
   */
  run(options: { signal: AbortSignal; abortSignal?: AbortSignal }): Promise<void>;
  /** Sends a heartbeat (for cancel, pause, drain) and polls for jobs now. Harmless at any time. */
  wake(): void;
  /** Changes what the node offers. The database gets it at once, or as soon as it can be reached. */
  report(
    profile: Partial<Omit<NodeProfile, "slots">> & { workflows?: readonly KnownWorkflow[] },
  ): void;
  /**
   * Takes no new jobs until `resume`, and is offered none. Resolves when the held jobs have ended.
   *
   * @param options.withinMs - What runs then is given back at no cost. Default: never.
   */
  drain(options?: { withinMs?: number }): Promise<void>;
  resume(): void;
  status(): WorkerStatus;
  /** Sends a heartbeat now, so that `status` is up to date. Never fails. */
  refresh(): Promise<void>;
}
