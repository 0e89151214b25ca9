import type {
  DatabaseFacts,
  Hook,
  JobSummary,
  Node,
  PausedWorkflow,
  WaitingJob,
} from "@loom/queue";
import type { WorkflowProblem } from "@loom/worker";
import type { Tailnet } from "../mesh.ts";

/** A failure of one item in a loop of a hub, while the others went on. */
export interface Fault {
  /**
   * The loop in which it failed: `round`, `schedule`, `deliver`, `condition`, `wait`, `workflows`, `prune`, `sweep`,
   * `events`, or the part of a round: `reap`, `expire`, `place`, `expand`, `wake`, `due`, `notify`.
   */
  readonly loop: string;
  /** The schedule, job or node; `round` when the item is unknown. */
  readonly subject: string;
  readonly message: string;
  readonly count: number;
  readonly firstAt: Date;
  readonly lastAt: Date;
}

/** The outcome of a tested wake-up. */
export type WakeTry =
  | {
      heard: true;
      /** How long the answer took. */
      ms: number;
      /** How far the node's clock is ahead of this machine's, within half of `ms`; null if it does not report it. */
      aheadMs: number | null;
    }
  | { heard: false; reason: string };

/** The facts that the checks examine. */
export interface DoctorFacts {
  /** The versions of the hub's workflows by name. */
  readonly workflows: ReadonlyMap<string, string>;
  /** Workflow files that the hub cannot use, with the reason. */
  readonly workflowProblems: readonly WorkflowProblem[];
  readonly nodes: readonly Node[];
  /** The newest jobs without a node, or not claimed by their node. */
  readonly jobs: readonly JobSummary[];
  /** The jobs of the next round of placing, with the facts that it scores. */
  readonly toPlace: readonly WaitingJob[];
  readonly paused: readonly PausedWorkflow[];
  readonly hooks: readonly Hook[];
  /** The hooks that the hub's workflows name, each with these workflows. */
  readonly namedHooks: ReadonlyMap<string, readonly string[]>;
  /** For how many days this hub keeps what is finished, while it leads. */
  readonly retentionDays: number;
  /**
   * The store of files: how many bytes it can take now, null where it does not say; or why it cannot be used. Null: this hub keeps
   * no files.
   */
  readonly files: { readonly free: number | null } | { readonly problem: string } | null;
  /** The recent faults of this hub's loops. */
  readonly faults: readonly Fault[];
  readonly database: DatabaseFacts & {
    /** How far its clock is ahead of the hub's, in milliseconds, within `roundTripMs` / 2. */
    readonly aheadMs: number;
    readonly roundTripMs: number;
  };
  /** The names of the migrations in the hub's code. */
  readonly migrations: readonly string[];
  readonly tailnet: Tailnet;
  /** The outcome of waking each node with a wake server; null where this hub wakes no nodes. */
  readonly wakes:
    | readonly { readonly node: string; readonly port: number; readonly wake: WakeTry }[]
    | null;
}

/** The jobs that wait for this node to claim them. */
export const pendingFor = ({ jobs }: Pick<DoctorFacts, "jobs">, node: string): JobSummary[] =>
  jobs.filter(({ state, targetHost }) => state === "pending" && targetHost === node);
