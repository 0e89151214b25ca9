import { z } from "zod";
import { waitingReason } from "./job.ts";
import { row } from "./row.ts";

const fared = z.object({ node: z.string(), succeeded: z.int(), failed: z.int() });

const told = z.object({
  id: z.int(),
  runId: z.string().nullable(),
  workflow: z.string(),
  step: z.string(),
  /** The node that it is pinned to; such a job waits for that node alone, and is not placed. */
  host: z.string().nullable(),
  priority: z.int(),
  requires: z.array(z.string()),
  prefers: z.array(z.object({ clause: z.string(), weight: z.number() })),
  /** Nodes that gave it back unstarted, one entry each time, newest last. */
  declinedBy: z.array(z.string()),
  /** Nodes that were lost while they ran it, one entry each time. */
  crashedOn: z.array(z.string()),
  waitingReason: waitingReason.nullable(),
  /** Of the request that asked for it: https://www.w3.org/TR/trace-context */
  traceparent: z.string().nullable(),
  /** `running`: how many of the key's places are taken, offers counted. */
  concurrency: z.object({ key: z.string(), limit: z.int(), running: z.int() }).nullable(),
  /** Nodes where the steps ran that it comes after. */
  ranOn: z.array(z.string()),
});

/** A job that waits for a node, with what placing weighs. */
export interface WaitingJob extends z.output<typeof told> {
  /** How many steps of its run are offered or running. */
  readonly runInFlight: number;
  /** How its step fared the last 20 times that it ran, by node. */
  readonly history: readonly z.output<typeof fared>[];
}

const stepKey = ({ workflow, step }: { workflow: string; step: string }): string =>
  `${workflow} ${step}`;

/** What is known of a run or a step comes once, beside the jobs: here each job gets its share. */
export const waitingJobs = z
  .object({
    jobs: z.array(row(told)),
    runs: z.record(z.string(), z.int()),
    steps: z.array(
      row(z.object({ workflow: z.string(), step: z.string(), nodes: z.array(fared) })),
    ),
  })
  .transform(({ jobs, runs, steps }): WaitingJob[] => {
    const histories = new Map(steps.map((step) => [stepKey(step), step.nodes]));
    return jobs.map((job) => ({
      ...job,
      runInFlight: job.runId === null ? 0 : (runs[job.runId] ?? 0),
      history: job.runId === null ? [] : (histories.get(stepKey(job)) ?? []),
    }));
  });
