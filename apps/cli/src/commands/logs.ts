import type { HubClient, Log } from "@loom/client";
import type { Cli, Program } from "../cli.ts";
import { CliError, unknownName } from "../errors.ts";
import { findSubject, type Subject } from "../hub/find-run.ts";
import type { FollowedStep } from "../hub/follow-run.ts";
import { readNumber } from "../input/number.ts";
import { createLogWriter } from "../output/log-writer.ts";
import { createNotice, watch } from "./run.ts";

/** `logs`: the output of a run, of one of its steps, or of a job. */
export function defineLogs(program: Program, cli: Cli): void {
  program
    .command("logs")
    .summary("print the output of a run")
    .description(
      "Print the output of a run, of one of its steps, or of a job. A workflow stands for its newest run.",
    )
    .argument("<subject>", "a run, a job or a workflow")
    .argument("[step]", "one step of the run")
    .option("-f, --follow", "go on as more is written, until the run has ended")
    .option("--tail <lines>", "begin with the last lines of each step")
    .action((word, step, options) => logs(cli, { word, step, ...options }));
}

async function logs(
  cli: Cli,
  {
    word,
    step,
    follow,
    tail,
  }: {
    word: string;
    step?: string | undefined;
    follow?: true | undefined;
    tail?: string | undefined;
  },
): Promise<void> {
  const { client } = cli.hub();
  const lines = tail === undefined ? undefined : readNumber("--tail", tail, { max: 100_000 });
  const subject = await newestRunOf(client, await findSubject(client, word));
  const steps = await stepsOf(cli, subject, step);
  // Without a prefix, the bytes of one step are what its programs wrote.
  const isOne = steps.length === 1 && (subject.kind === "job" || step !== undefined || !follow);
  const after = new Map<number, string>();
  const parts: ({ step: string; job: number } & Log)[] = [];
  for (const each of steps) {
    const writer = createLogWriter(cli, isOne ? undefined : each.step);
    let last: Log | undefined;
    for await (const log of readLog(client, each.job, lines)) {
      last = log;
      if (!cli.json) await writer.write(log.text);
      else if (follow) cli.printJson({ log: { ...each, ...log } });
      else parts.push({ ...each, ...log });
    }
    if (!follow) await writer.end();
    if (last && last.fence !== null && last.next > 0)
      after.set(each.job, `${last.fence}.${last.next}`);
  }
  if (cli.json && !follow) return cli.printJson({ logs: parts });
  if (!follow) return;
  if (subject.kind === "run" && step === undefined) {
    const run = await watch(cli, subject.id, { follow: true, after });
    if (cli.json) cli.printJson({ run });
    return;
  }
  await Promise.all(steps.map((each) => followOne(cli, each, after.get(each.job))));
}

/** A job's output, page by page; of its last lines only one. */
async function* readLog(
  client: HubClient,
  job: number,
  tail: number | undefined,
): AsyncGenerator<Log> {
  let log = await client.getJobLog(job, tail === undefined ? {} : { tail });
  yield log;
  if (tail !== undefined || log.fence === null) return;
  for (let { next, fence } = log; log.text !== ""; next = log.next) {
    log = await client.getJobLog(job, { offset: next, fence });
    if (log.text !== "") yield log;
  }
}

async function followOne(cli: Cli, step: FollowedStep, after: string | undefined): Promise<void> {
  const onConnection = createNotice(cli);
  const stream = { onConnection, ...(after !== undefined && { after }) };
  for await (const { event, data } of cli.hub().client.streamJobLog(step.job, stream)) {
    if (event !== "log") continue;
    if (cli.json) cli.printJson({ log: { ...step, ...data } });
    else await cli.write(data.text);
  }
}

/** A workflow stands for its newest run. */
async function newestRunOf(
  client: HubClient,
  subject: Subject,
): Promise<Exclude<Subject, { kind: "workflow" }>> {
  if (subject.kind !== "workflow") return subject;
  const { data } = await client.listRuns({ workflow: subject.name, limit: 1 });
  const [run] = data;
  if (run) return { kind: "run", id: run.id };
  throw new CliError("RUN_NOT_FOUND", {
    what: `workflow ${subject.name} has no run`,
    why: "it never ran, or its runs are no longer kept",
    fix: `loom run ${subject.name} --follow`,
  });
}

/** The jobs whose output is wanted. */
async function stepsOf(
  cli: Cli,
  subject: Exclude<Subject, { kind: "workflow" }>,
  step: string | undefined,
): Promise<FollowedStep[]> {
  const { client } = cli.hub();
  if (subject.kind === "job") {
    const job = await client.getJob(subject.id);
    return [{ job: job.id, step: job.step }];
  }
  const run = await client.getRun(subject.id);
  if (step === undefined) {
    const begun = run.steps.filter(({ attempt }) => attempt > 0);
    return begun.map(({ id, step: name }) => ({ job: id, step: name }));
  }
  const found = run.steps.find((each) => each.step === step);
  if (found?.items) {
    throw new CliError("STEP_MAPS", {
      what: `step ${step} maps over a list, and has no output of its own`,
      why: "each of its items is a job with an output",
      fix: `loom show ${found.id}`,
    });
  }
  if (found) return [{ job: found.id, step }];
  throw unknownName("UNKNOWN_STEP", {
    what: `the run has no step ${step}`,
    name: step,
    known: run.steps.map((each) => each.step),
    argv: cli.argv,
    list: `loom show ${run.id.slice(0, 8)}`,
  });
}
