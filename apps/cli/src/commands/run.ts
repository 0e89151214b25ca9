import type { PlannedRun, Run } from "@loom/client";
import type { Cli, Program } from "../cli.ts";
import { CliError } from "../errors.ts";
import { findRun, findSubject } from "../hub/find-run.ts";
import { type FollowedStep, followRun } from "../hub/follow-run.ts";
import { readDuration } from "../input/duration.ts";
import { collect, readInput } from "../input/read-input.ts";
import { createLogWriter, type LogWriter } from "../output/log-writer.ts";
import { inColour, shortId, span } from "../output/text.ts";

interface WaitOptions {
  wait?: true | undefined;
  follow?: true | undefined;
  timeout?: string | undefined;
}

/** `run`, `retry`, `rerun` and `cancel`: what begins and ends runs. */
export function defineRun(program: Program, cli: Cli): void {
  program
    .command("run")
    .summary("start a run of a workflow")
    .description(
      "Start a run of a workflow, and print its id.\n\nWith --wait or --follow, Ctrl-C stops watching and the run goes on; a second one within 2 s cancels it.",
    )
    .argument("<workflow>")
    .option("-i, --input <key=value>", "a field of the input, or all of it as JSON", collect)
    .option("--input-file <file>", "a file with the input as JSON; - is standard input")
    .option("--key <key>", "start no second run with this key, but return the first")
    .option("--allow-unsatisfiable", "let it wait even if no known node could run it")
    .option("--wait", "wait for its end, and end as it does")
    .option("-f, --follow", "the same, with the output of its steps")
    .option("--timeout <duration>", "how long to wait, such as 10m")
    .action(async (workflow, { key, allowUnsatisfiable, ...options }) => {
      const { client } = cli.hub();
      const input = await readInput(options, async () => {
        return (await client.getStrand(workflow)).inputSchema;
      });
      const body = {
        ...(input !== undefined && { input }),
        ...(key !== undefined && { key }),
        ...(allowUnsatisfiable && { allowUnsatisfiable }),
      };
      await started(cli, await client.startRun(workflow, body), options);
    });

  program
    .command("retry")
    .summary("repeat what failed of a run")
    .description("Repeat a run as a new one. Results of steps that succeeded are taken over.")
    .argument("<run>")
    .option("--from <step>", "repeat this step, those after it, and those that did not succeed")
    .option("--all", "repeat every step")
    .option("--allow-unsatisfiable", "let it wait even if no known node could run it")
    .option("--wait", "wait for its end, and end as it does")
    .option("-f, --follow", "the same, with the output of its steps")
    .option("--timeout <duration>", "how long to wait, such as 10m")
    .action(async (run, { from, all, allowUnsatisfiable, ...options }) => {
      const { client } = cli.hub();
      const id = await findRun(client, run);
      const allow = allowUnsatisfiable ? { allowUnsatisfiable } : {};
      const planned =
        from !== undefined
          ? await client.retryRun(id, { mode: "from", step: from, ...allow })
          : await client.retryRun(id, { mode: all ? "all" : "failed", ...allow });
      await started(cli, planned, options);
    });

  program
    .command("rerun")
    .summary("start a run again, with the same or another input")
    .description("Start the workflow of a run again, with the run's input or another one.")
    .argument("<run>")
    .option("-i, --input <key=value>", "a field of the input, or all of it as JSON", collect)
    .option("--input-file <file>", "a file with the input as JSON; - is standard input")
    .option("--allow-unsatisfiable", "let it wait even if no known node could run it")
    .option("--wait", "wait for its end, and end as it does")
    .option("-f, --follow", "the same, with the output of its steps")
    .option("--timeout <duration>", "how long to wait, such as 10m")
    .action(async (run, { allowUnsatisfiable, ...options }) => {
      const { client } = cli.hub();
      const id = await findRun(client, run);
      const input = await readInput(options, async () => {
        const { workflow } = await client.getRun(id);
        return (await client.getStrand(workflow)).inputSchema;
      });
      const body = {
        ...(input !== undefined && { input }),
        ...(allowUnsatisfiable && { allowUnsatisfiable }),
      };
      await started(cli, await client.rerunRun(id, body), options);
    });

  program
    .command("cancel")
    .summary("cancel runs or jobs")
    .description("Cancel runs, or jobs by their numbers. Running steps are asked to stop at once.")
    .argument("<run...>", "runs or jobs")
    .action((subjects) => cancel(cli, subjects));
}

/** Reports a run that was started, and stays with it where that is asked for. */
export async function started(cli: Cli, planned: PlannedRun, options: WaitOptions): Promise<void> {
  const { runId, verdict } = planned;
  if (options.timeout !== undefined) readDuration("--timeout", options.timeout);
  const isWatched = options.wait || options.follow;
  if (!isWatched) {
    if (cli.json) return cli.printJson({ run: planned });
    cli.print(runId);
    for (const { step, summary } of verdict.steps.filter((each) => each.verdict !== "now")) {
      cli.note(`step ${step} waits: ${summary}`);
    }
    if (cli.isTerminal) cli.note(`follow it: loom logs -f ${shortId(runId)}`);
    return;
  }
  if (cli.json && options.follow) cli.printJson({ run: planned });
  const run = await watch(cli, runId, options);
  if (cli.json) cli.printJson({ run });
  else report(cli, run);
  process.exitCode = { succeeded: 0, failed: 10, cancelled: 11, running: 1 }[run.status];
}

function report(cli: Cli, run: Run): void {
  const failed = run.steps.filter(({ state, optional }) => state === "failed" && !optional);
  for (const { step, host, error } of failed) {
    const message = (error as { message?: unknown } | null)?.message ?? "it says no reason";
    cli.note(`step ${step} failed${host ? ` on ${host}` : ""}: ${message}`);
  }
  const took = Date.parse(run.finishedAt ?? "") - Date.parse(run.createdAt);
  cli.note(`${run.workflow} ${run.status} after ${span(took)}`);
  if (run.status === "failed") cli.note(`try again: loom retry ${shortId(run.id)}`);
}

/**
 * Follows a run to its end.
 *
 * @throws CliError `TIMED_OUT`. Ctrl-C ends the program with 130.
 */
export async function watch(
  cli: Cli,
  id: string,
  { follow, timeout, after }: WaitOptions & { after?: ReadonlyMap<number, string> },
): Promise<Run> {
  const { client } = cli.hub();
  const stopping = new AbortController();
  const ms = timeout === undefined ? undefined : readDuration("--timeout", timeout);
  const timer = ms === undefined ? undefined : setTimeout(() => stopping.abort(late), ms);
  const late = new CliError("TIMED_OUT", {
    what: `run ${shortId(id)} has not ended after ${timeout}`,
    why: "it goes on; only the waiting is over",
    fix: `loom logs -f ${shortId(id)}`,
  });
  const release = onInterrupt(cli, id);
  if (!cli.json) cli.note(`run ${id}`);
  const writers = new Map<number, LogWriter>();
  const writer = ({ job, step }: FollowedStep) => {
    const known = writers.get(job) ?? createLogWriter(cli, step);
    writers.set(job, known);
    return known;
  };
  try {
    return await followRun(client, id, {
      signal: stopping.signal,
      after,
      onConnection: createNotice(cli),
      ...(follow && {
        onLog: async (step, log) => {
          if (cli.json) cli.printJson({ log: { ...step, ...log } });
          else await writer(step).write(log.text);
        },
        onLogEnd: (step) => writer(step).end(),
      }),
      onEvent(event, step) {
        if (cli.json) {
          if (follow) cli.printJson({ event });
          return;
        }
        const shown = step && sentence(event.type, event.node, event.detail);
        if (shown !== undefined && step)
          cli.note(`${step.step} ${cli.paint(inColour(event.state ?? ""))} ${shown}`.trim());
      },
    });
  } finally {
    clearTimeout(timer);
    release();
  }
}

/** Returns the text to print after a step's new state; undefined for an event that is not printed. */
function sentence(type: string, node: string | null, detail: string | null): string | undefined {
  if (type === "job.claimed") return `on ${node}`;
  if (type === "job.waiting" || type === "job.refused" || type === "job.requeued") {
    return detail ? `(${detail})` : "";
  }
  return ["job.settled", "job.cancelled", "job.skipped", "job.expired"].includes(type)
    ? ""
    : undefined;
}

/** Says once that the connection broke, and once that it is back. */
export function createNotice(cli: Cli): (isOpen: boolean) => void {
  let isLost = false;
  return (isOpen) => {
    if (!isOpen && !isLost) cli.note("the connection to the hub broke; connecting again …");
    if (isOpen && isLost) cli.note("connected again");
    isLost = !isOpen;
  };
}

/** How long a second Ctrl-C means that the run is to be cancelled. */
const AGAIN_MS = 2_000;

/** Ctrl-C stops watching; a second one cancels the run. Returns the function that ends this. */
function onInterrupt(cli: Cli, id: string): () => void {
  let isSecond = false;
  const interrupt = () => {
    if (isSecond) {
      isSecond = false;
      cli
        .hub()
        .client.cancelRun(id)
        .then(
          () => cli.note(`asked the hub to cancel run ${shortId(id)}`),
          (error: Error) => cli.note(`it was not cancelled: ${error.message}`),
        )
        .finally(() => process.exit(130));
      return;
    }
    isSecond = true;
    cli.note(
      `\nrun ${shortId(id)} goes on; watch it again: loom logs -f ${shortId(id)}\nCtrl-C again within 2 s cancels it`,
    );
    // A program that sent the signal waits for the end; a person may press again.
    setTimeout(() => process.exit(130), process.stdin.isTTY ? AGAIN_MS : 0);
  };
  process.on("SIGINT", interrupt);
  return () => process.off("SIGINT", interrupt);
}

async function cancel(cli: Cli, subjects: readonly string[]): Promise<void> {
  const { client } = cli.hub();
  const cancelled: { run?: string; job?: number; answer: string }[] = [];
  for (const word of subjects) {
    const subject = await findSubject(client, word);
    if (subject.kind === "workflow") {
      throw new CliError("RUN_NOT_FOUND", {
        what: `${word} is a workflow, and cancel takes a run`,
        why: "a workflow may have several runs",
        fix: `loom ps --workflow ${word}`,
      });
    }
    if (subject.kind === "run") {
      const { status } = await client.cancelRun(subject.id);
      cancelled.push({ run: subject.id, answer: status });
      if (!cli.json) cli.note(`run ${shortId(subject.id)}: ${status}`);
    } else {
      const { answer } = await client.cancelJob(subject.id);
      cancelled.push({ job: subject.id, answer });
      if (!cli.json) cli.note(`job ${subject.id}: ${answer}`);
    }
  }
  if (cli.json) cli.printJson({ cancelled });
}
