// One attempt of a job, from its claim to its outcome in the database.
import type {
  AppendAnswer,
  ClaimedJob,
  LogChunk,
  Queue,
  Settlement,
  SettlementAnswer,
} from "@loom/queue";
import {
  applyFilters,
  CODE_CAPABILITY,
  HUB_CAPABILITY,
  hasCapabilities,
  hasVersion,
} from "@loom/scheduler";
import { EXEC_WORKFLOW } from "@loom/workflow";
import { type AttemptLog, createAttemptLog } from "./attempt-log.ts";
import { createAttemptCheckpoint } from "./checkpoint/attempt-checkpoint.ts";
import { versionOf } from "./code/step-code.ts";
import type { ExecGate } from "./exec/gate.ts";
import { isRecorded, type Journal, type JournalEntry } from "./journal.ts";
import type { Log } from "./log.ts";
import {
  classify,
  decline,
  describeError,
  type Outcome,
  ShutdownError,
  StepTimeoutError,
} from "./outcome.ts";
import type { Progress } from "./step-process/run-step.ts";
import type { RunningStep, StepRunner, StepTask } from "./step-process/step-runner.ts";
import type { Tracing } from "./tracing.ts";
import { within } from "./wait.ts";
import type { KnownStep, KnownWorkflow } from "./worker.ts";

/** What is known of the slot that a job takes. It is free when the job is over and settled. */
export interface Slot {
  /** Whether the job's code has ended. */
  isOver: boolean;
  /** Whether its outcome was given to the loop that sends it. */
  isSent: boolean;
  /** Whether the database has its outcome. */
  isSettled: boolean;
}

export interface AttemptDeps extends Omit<SettleDeps, "log"> {
  queue: Pick<Queue, "appendLog" | "saveCheckpoint">;
  node: string;
  /** Checks that the lease still holds after a silence. Fails when the database does not answer. */
  revalidate: () => Promise<void>;
  /** Ends the retries. The job goes back when the lease ends. */
  giveUp: AbortSignal;
  log: Log;
  /** The id of the database that jobs are claimed from. */
  database: () => string;
  runner: StepRunner;
  journal: Journal | undefined;
  tracing: Tracing;
  signal: AbortSignal;
  /** Called with the milliseconds from the claim to the step's code. */
  onStarted: (startMs: number) => void;
  onProgress: (progress: Progress) => void;
  /** Called when nothing of the job's code is left: before its outcome is sent, if that is known by then. */
  onCodeEnded: () => void;
  onSettled: () => void;
}

/**
 * Runs the step of a claimed job and settles its outcome, or gives the job back when `find` declines. When `signal`
 * has aborted before, its reason is the outcome.
 *
 * Never fails: an error before the step runs is the attempt's outcome. Resolves when the step's code
 * has ended as well, because it takes a slot until then.
 */
export async function attempt(
  job: ClaimedJob,
  find: () => KnownStep | Declined,
  {
    database: claimedFrom,
    runner,
    tracing,
    signal,
    onStarted,
    onProgress,
    onCodeEnded,
    onSettled,
    ...deps
  }: AttemptDeps,
): Promise<void> {
  const { log, node } = deps;
  const { id, fence, workflow } = job;
  const claimedAt = performance.now();
  const database = claimedFrom();
  let hasOutcome = false;
  let hasStarted = false;
  try {
    signal.throwIfAborted();
    const step = find();
    if ("declined" in step) {
      const { declined: reason } = step;
      log.warn({ reason }, "job declined");
      hasOutcome = true;
      onCodeEnded();
      await settle({ id, fence, ...decline(reason) }, deps);
      return;
    }
    const output = createAttemptLog({ node, id, fence }, deps);
    const checkpoint = createAttemptCheckpoint({ node, id, fence }, deps);
    const attributes = { "loom.job": id, "loom.attempt": job.attempt, "loom.node": node };
    const options = { parent: job.traceparent, attributes };
    const { ended } = await tracing.span(`${workflow}/${job.step}`, options, async (span) => {
      hasStarted = true;
      const running = execute(runner, {
        job: { ...job, traceparent: span.traceparent, input: step.input ?? job.input },
        node,
        signal,
        write: output.write,
        onStarted() {
          hasStarted = true;
          const startMs = Math.round(performance.now() - claimedAt);
          log.info({ startMs }, "step started");
          span.set({ "loom.start_ms": startMs });
          onStarted(startMs);
        },
        onProgress,
        onCheckpoint: checkpoint.save,
        log,
      });
      void running.ended.then(onCodeEnded);
      const ended = await running.outcome;
      const outcome = hasStarted ? onceOnly(job, ended) : ended;
      hasOutcome = true;
      span.set({ "loom.outcome": outcome.outcome });
      if (outcome.outcome === "lost") {
        log.warn({}, "lease was lost: the attempt settles nothing");
        await output.end();
      } else {
        const settlement = { id, fence, ...outcome };
        const entry = () => ({
          database,
          node,
          workflow,
          step: job.step,
          settlement,
          log: output.unsent(),
        });
        // What the attempt kept has to be there before another one begins.
        const endButLast = async () => {
          await Promise.all([output.endButLast(), checkpoint.end()]);
        };
        await deliver({ output: { ...output, endButLast }, entry }, deps);
        onSettled();
      }
      return running;
    });
    await ended;
  } catch (error) {
    const outcome = classify(error);
    if (hasOutcome) return log.error({ err: error }, "attempt could not be settled");
    if (!hasStarted) onCodeEnded();
    if (signal.aborted) log.info({ reason: signal.reason.message }, "job is not begun");
    else log.error({ err: error }, "attempt could not be started: it fails");
    if (outcome.outcome === "lost") return;
    await settle({ id, fence, ...outcome }, deps).then(onSettled, (err: unknown) =>
      log.error({ err }, "attempt could not be settled"),
    );
  }
}

/** Why a node does not run a job that it has claimed. */
export interface Declined {
  declined: string;
}

/** The placement rules whose answer may have changed on this node since the job was placed. */
const ABOUT_REQUIREMENTS = [hasCapabilities, hasVersion];

/**
 * A command that began and was stopped with its agent has failed: it may not be safe to run twice, and whoever says
 * that it is (`--retry`) gets another attempt.
 */
const onceOnly = ({ workflow }: Pick<ClaimedJob, "workflow">, outcome: Outcome): Outcome =>
  workflow === EXEC_WORKFLOW && outcome.outcome === "released"
    ? { outcome: "failed", error: describeError(new ShutdownError()) }
    : outcome;

/**
 * Finds the step that a job asks for, or says why this node declines it. The check is the one that
 * placed the job, against the node's capabilities of this moment.
 */
export function findStep(
  job: Pick<ClaimedJob, "requires" | "workflow" | "step" | "runId" | "input">,
  node: { name: string; capabilities: readonly string[]; isHub?: boolean | undefined },
  workflows: ReadonlyMap<string, KnownWorkflow>,
  exec?: ExecGate | undefined,
): KnownStep | Declined {
  // The database adds this capability to a hub's node.
  const capabilities = node.isHub ? [...node.capabilities, HUB_CAPABILITY] : node.capabilities;
  const failures = applyFilters(ABOUT_REQUIREMENTS, job, { ...node, capabilities });
  if (failures.length > 0) {
    return { declined: `${node.name} ${failures.map(({ reason }) => reason).join(" and ")}` };
  }
  if (job.workflow === EXEC_WORKFLOW) {
    if (exec) return exec.find(job, { ...node, capabilities });
    return { declined: `EXEC_OFF: ${node.name} runs no commands` };
  }
  const step = workflows.get(job.workflow)?.steps.find(({ name }) => name === job.step);
  // Code that is fetched is known by its version alone. Whether it has the step is seen when it is there.
  const isFetched = capabilities.includes(CODE_CAPABILITY) && versionOf(job) !== undefined;
  if (!step && isFetched) return { name: job.step };
  return step ?? { declined: `${node.name} has no step ${job.step} in workflow ${job.workflow}` };
}

/**
 * Starts a step. Four things decide its outcome: its return, its own error, its timeout, and the abort
 * of `signal`, whose reason is the error. A step that returns after its signal aborted has succeeded:
 * the work is done.
 *
 * Never fails: an error of the runner fails this attempt only.
 */
export function execute(runner: StepRunner, task: StepTask): RunningStep {
  const { job, signal } = task;
  // The step has its own signal, so that a lost lease does not abort it after it has ended.
  const stop = new AbortController();
  const onAbort = () => stop.abort(signal.reason);
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort);
  const timer = setTimeout(() => stop.abort(new StepTimeoutError(job.timeoutMs)), job.timeoutMs);

  const { outcome, ended } = started(runner, { ...task, signal: stop.signal });
  return {
    ended: ended.catch(() => {}),
    outcome: outcome
      .catch((error: unknown) => {
        task.log.error({ err: error }, "the step could not be started: the attempt fails");
        return classify(error);
      })
      .then((outcome) =>
        outcome.outcome === "failed" && stop.signal.aborted
          ? classify(stop.signal.reason)
          : outcome,
      )
      .finally(() => {
        clearTimeout(timer);
        signal.removeEventListener("abort", onAbort);
      }),
  };
}

function started(runner: StepRunner, task: StepTask): RunningStep {
  try {
    return runner.start(task);
  } catch (error) {
    return { outcome: Promise.reject(error), ended: Promise.resolve() };
  }
}

/** An outcome is written to disk when the database has not answered for this long. */
const JOURNAL_AFTER_MS = 250;

/**
 * Sends an attempt's outcome with the rest of its output to the database, however long it is away. Meanwhile
 * the outcome is on disk, for the next start of the agent.
 *
 * @param entry - Returns the journal entry of this moment.
 */
export async function deliver(
  {
    output,
    entry,
  }: {
    output: Pick<AttemptLog, "endButLast" | "unsent" | "answered">;
    entry: () => JournalEntry;
  },
  { journal, ...deps }: SettleDeps & { journal: Journal | undefined },
): Promise<Settled> {
  const { settlement } = entry();
  const delivering = output.endButLast().then(() => settle(settlement, deps, output));
  // Other outcomes give the job back, which the next start's hello does anyway.
  const isWork = settlement.outcome === "succeeded" || settlement.outcome === "failed";
  if (!journal || !isWork) return delivering;
  let settled: Settled | undefined;
  // The error is thrown where `delivering` is awaited.
  const noted = delivering.then(
    (answer) => {
      settled = answer;
    },
    () => {},
  );
  await within(JOURNAL_AFTER_MS, noted);
  let written = settled === undefined ? keep(journal, entry(), deps.log) : undefined;
  try {
    settled = await delivering;
  } catch (error) {
    // The outcome is not to blame, for example when the key was withdrawn: the next start tries again.
    await (written ?? keep(journal, entry(), deps.log));
    throw error;
  }
  if (settled === "unanswered") written ??= keep(journal, entry(), deps.log);
  await written;
  if (settled === "recorded") {
    if (written) await journal.remove(entry());
  } else if (settled === "refused") {
    await journal
      .refuse(entry(), "refused")
      .catch((error: unknown) =>
        deps.log.error({ err: error }, "the refused outcome could not be kept"),
      );
  }
  return settled;
}

/** Writes the entry. When that fails, the outcome is still in memory and is sent until it is answered. */
const keep = (journal: Journal, entry: JournalEntry, log: Log): Promise<void> =>
  journal.write(entry).then(
    () => log.warn({}, "outcome is kept in the journal until the database answers"),
    (error: unknown) =>
      log.error({ err: error }, "outcome is in memory only: it is lost if the agent ends"),
  );

/** An outcome on its way to the queue. */
export interface SentOutcome {
  settlement: Settlement;
  /** The end of the attempt's output, which has to be there before the outcome. */
  logs: readonly LogChunk[];
  slot: Slot;
}

export interface SettleDeps {
  /**
   * Sends an outcome until the database answers.
   *
   * @returns undefined when the worker stopped before.
   * @throws What the queue throws, except QueueUnavailableError.
   */
  send: (outcome: SentOutcome) => Promise<SentAnswer | undefined>;
  slot: Slot;
  log: Log;
}

/** How the queue answered an outcome and its output. */
export interface SentAnswer {
  answer: SettlementAnswer["answer"];
  log: AppendAnswer | undefined;
}

/** How the database answered an outcome. */
type Settled = "recorded" | "refused" | "unanswered";

/**
 * Settles an attempt. An outcome that the database cannot record fails the job, because the node would still hold
 * it, and nothing else would end it before its deadline.
 *
 * @throws As `send`.
 */
export async function settle(
  settlement: Settlement,
  { send, slot, log }: SettleDeps,
  output?: Pick<AttemptLog, "unsent" | "answered">,
): Promise<Settled> {
  const { id, fence, outcome } = settlement;
  const sent = await send({ settlement, logs: output?.unsent() ?? [], slot });
  if (sent === undefined) {
    log.error({ outcome }, "outcome was not settled before the worker stopped");
    return "unanswered";
  }
  const { answer } = sent;
  // A repeated call finds the attempt settled, and its output too.
  if (sent.log !== undefined && answer !== "duplicate") output?.answered(sent.log);
  if (isRecorded(answer)) log.info({ outcome, answer }, "attempt settled");
  else log.warn({ outcome, answer }, "settle was refused");
  if (answer !== "too_large" && answer !== "invalid") {
    return isRecorded(answer) ? "recorded" : "refused";
  }
  const error = {
    name: "OutcomeRefusedError",
    code: "OUTCOME_REFUSED",
    message: `the attempt ${outcome}, which the database cannot record: ${answer}`,
  };
  const instead = { id, fence, outcome: "failed", error, retryable: false } as const;
  await send({ settlement: instead, logs: [], slot });
  return "refused";
}
