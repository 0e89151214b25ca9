import type { Event, HubClient, Log, Run } from "@loom/client";

export interface FollowOptions {
  signal: AbortSignal;
  /** Called with every piece of a step's output, one after the other for each step. */
  onLog?: ((step: FollowedStep, log: Log) => Promise<void>) | undefined;
  /** Called when the output of a step is complete. */
  onLogEnd?: ((step: FollowedStep) => Promise<void>) | undefined;
  onEvent?: ((event: Event, step: FollowedStep | undefined) => void) | undefined;
  onConnection?: ((isOpen: boolean) => void) | undefined;
  /** Opens the output of steps before they begin, so that its first line comes without a detour. */
  isEager?: boolean | undefined;
  /** Where output begins, by job: what was printed before is left out. */
  after?: ReadonlyMap<number, string> | undefined;
}

export interface FollowedStep {
  job: number;
  step: string;
}

/** How many outputs are followed at once; a hub allows a caller 100 streams. */
const MOST_STREAMS = 50;

/**
 * Follows a run to its end, with the output of its steps where that is asked for. Returns the finished
 * run.
 *
 * @throws The signal's reason; HubError when the hub refuses.
 */
export async function followRun(hub: HubClient, id: string, options: FollowOptions): Promise<Run> {
  const { signal, onEvent, onConnection, isEager } = options;
  const steps = new Map<number, FollowedStep>();
  const logs = createLogs(hub, options);
  const learn = (run: Run) => {
    for (const { id: job, step, attempt } of run.steps) {
      steps.set(job, { job, step });
      if (attempt > 0 || isEager) logs.follow({ job, step });
    }
  };
  const stream = { signal, ...(onConnection && { onConnection }) };
  let run: Run | undefined;
  for await (const { event, data } of hub.streamRunEvents(id, stream)) {
    if (event === "snapshot") learn(data);
    else if (event === "end") run = data;
    // Events are missing: the run as it is now has what they did.
    else if (event === "reset") learn(await hub.getRun(id, { signal }));
    else {
      const step = data.jobId === null ? undefined : steps.get(data.jobId);
      if (event === "job.claimed" && step) logs.follow(step);
      onEvent?.(data, step);
    }
  }
  run ??= await hub.getRun(id, { signal });
  learn(run);
  await logs.ended();
  return run;
}

/** Follows the outputs of steps, each once. */
function createLogs(hub: HubClient, { signal, onLog, onLogEnd, after }: FollowOptions) {
  const followed = new Map<number, Promise<void>>();
  const waiting: (() => void)[] = [];
  let open = 0;

  async function read(step: FollowedStep): Promise<void> {
    if (open >= MOST_STREAMS) await new Promise<void>((resolve) => waiting.push(resolve));
    open += 1;
    try {
      const from = after?.get(step.job);
      const stream = { signal, ...(from !== undefined && { after: from }) };
      for await (const { event, data } of hub.streamJobLog(step.job, stream)) {
        if (event === "log") await onLog?.(step, data);
      }
      await onLogEnd?.(step);
    } finally {
      open -= 1;
      waiting.shift()?.();
    }
  }

  return {
    follow(step: FollowedStep): void {
      if (!onLog || followed.has(step.job)) return;
      const reading = read(step);
      // Reported by `ended`; until then it is no unhandled rejection.
      reading.catch(() => {});
      followed.set(step.job, reading);
    },
    async ended(): Promise<void> {
      await Promise.all(followed.values());
    },
  };
}
