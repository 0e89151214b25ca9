import {
  describeItems,
  describeSkip,
  everyPage,
  type Item,
  type Job,
  type Run,
  type RunStep,
  type RunSummary,
  type Strand,
} from "@loom/client";
import type { Cli, Program } from "../cli.ts";
import { usage } from "../errors.ts";
import { findSubject } from "../hub/find-run.ts";
import { readDuration } from "../input/duration.ts";
import { readNumber } from "../input/number.ts";
import { ago, clean, inColour, shortId, span } from "../output/text.ts";

const STATUSES = ["running", "succeeded", "failed", "cancelled"] as const;

/** `ps`, `runs` and `show`: what is there, and one thing of it in full. */
export function defineRuns(program: Program, cli: Cli): void {
  program
    .command("ps")
    .description("list the runs that go on, and where")
    .option("--workflow <workflow>", "of this workflow alone")
    .action(async ({ workflow }) => {
      const runs = await newest(cli, { status: "running", ...(workflow && { workflow }) }, 200);
      if (cli.json) return cli.printJson({ runs });
      if (runs.length === 0) return cli.note("nothing runs: loom runs lists what has ended");
      cli.table(
        ["RUN", "WORKFLOW", "STEPS", "NODES", "SINCE", "WAITS FOR"],
        runs.map(({ id, workflow: name, steps, nodes, createdAt, waitingReason }) => [
          shortId(id),
          name,
          progress(steps),
          nodes.join(", "),
          ago(createdAt),
          waitingReason?.summary ?? "",
        ]),
      );
    });

  program
    .command("runs")
    .description("list runs, newest first")
    .option("--workflow <workflow>", "of this workflow alone")
    .option("--status <status>", `${STATUSES.join(", ")}`)
    .option("--since <duration>", "of the last while, such as 12h")
    .option("-n, --limit <number>", "how many", "20")
    .action(async ({ workflow, status, since, limit }) => {
      const known = STATUSES.find((each) => each === status);
      if (status !== undefined && known === undefined) {
        throw usage(`there is no status ${status}`, `--status ${STATUSES.join(" | ")}`);
      }
      const query = {
        ...(workflow && { workflow }),
        ...(known && { status: known }),
        ...(since && {
          since: new Date(Date.now() - readDuration("--since", since)).toISOString(),
        }),
      };
      const runs = await newest(cli, query, readNumber("--limit", limit, { min: 1, max: 10_000 }));
      if (cli.json) return cli.printJson({ runs });
      if (runs.length === 0) return cli.note("there is no such run: loom run WORKFLOW starts one");
      cli.table(
        ["RUN", "WORKFLOW", "STATUS", "STARTED", "TOOK", "BY"],
        runs.map(({ id, workflow: name, status: state, createdAt, finishedAt, ...run }) => [
          shortId(id),
          name,
          inColour(state),
          ago(createdAt),
          finishedAt ? span(Date.parse(finishedAt) - Date.parse(createdAt)) : "",
          run.askedBy ?? run.trigger,
        ]),
      );
    });

  program
    .command("show")
    .summary("show a run, a job or a workflow")
    .description("Show a run with its steps, a job by its number, or a workflow with its input.")
    .argument("<subject>", "a run, a job or a workflow")
    .action((word) => show(cli, word));
}

async function newest(
  cli: Cli,
  query: Parameters<ReturnType<Cli["hub"]>["client"]["listRuns"]>[0],
  limit: number,
): Promise<RunSummary[]> {
  const runs: RunSummary[] = [];
  const pages = everyPage(cli.hub().client.listRuns, { ...query, limit: Math.min(limit, 200) });
  for await (const run of pages) {
    runs.push(run);
    if (runs.length === limit) break;
  }
  return runs;
}

/** `2/5` of the steps, with those that failed. */
function progress(steps: RunSummary["steps"]): string {
  const all = Object.values(steps).reduce((sum, count) => sum + count, 0);
  const failed = steps.failed ? `, ${steps.failed} failed` : "";
  return `${steps.succeeded ?? 0}/${all}${failed}`;
}

async function show(cli: Cli, word: string): Promise<void> {
  const { client } = cli.hub();
  const subject = await findSubject(client, word);
  switch (subject.kind) {
    case "run": {
      const run = await client.getRun(subject.id);
      return cli.json ? cli.printJson({ run }) : showRun(cli, run);
    }
    case "job": {
      const job = await client.getJob(subject.id);
      return cli.json ? cli.printJson({ job }) : await showJob(cli, job);
    }
    case "workflow": {
      const workflow = await client.getStrand(subject.name);
      return cli.json ? cli.printJson({ workflow }) : showWorkflow(cli, workflow);
    }
  }
}

function showRun(cli: Cli, run: Run): void {
  const { id, workflow, version, status, createdAt, finishedAt, askedBy, retryOf } = run;
  const took = finishedAt ? `, took ${span(Date.parse(finishedAt) - Date.parse(createdAt))}` : "";
  cli.print(`run       ${id}`);
  cli.print(`workflow  ${workflow} (${version.slice(0, 12)})`);
  cli.print(`status    ${cli.paint(inColour(status))}`);
  cli.print(`started   ${ago(createdAt)}${askedBy ? ` by ${clean(askedBy)}` : ""}${took}`);
  if (retryOf) cli.print(`repeats   ${retryOf}`);
  cli.print(`input     ${clean(JSON.stringify(run.input))}`);
  cli.print("");
  cli.table(
    ["STEP", "JOB", "STATE", "NODE", "TOOK", "TRY", ""],
    run.steps.map((step) => [
      step.step,
      String(step.id),
      inColour(step.state),
      step.items ? describeItems(step.items) : (step.host ?? ""),
      step.durationMs === null ? "" : span(step.durationMs),
      step.attempt > 1 ? `${step.attempt}/${step.maxAttempts}` : "",
      remark(step),
    ]),
  );
  const partly = run.steps.find(({ items }) => items !== null && items.failed > 0);
  if (partly) cli.note(`\nloom show ${partly.id} lists the items of ${partly.step} that failed`);
  if (status === "failed") cli.note(`\nloom logs ${shortId(id)}    loom retry ${shortId(id)}`);
  if (run.waitingReason) cli.note(`\nloom why ${shortId(id)}`);
}

/** Returns a step's last column: the reason why it waits, its error, or its result. */
function remark({
  state,
  waitingReason,
  error,
  result,
  omittedBytes,
  skipReason,
}: RunStep): string {
  if (waitingReason) return waitingReason.summary;
  if (state === "failed") return messageOf(error);
  if (state === "skipped") return describeSkip(skipReason);
  if (omittedBytes !== null) return `${omittedBytes} bytes of result: loom show JOB --json`;
  return result === null || result === undefined ? "" : JSON.stringify(result).slice(0, 200);
}

/** The message of a stored error. */
export const messageOf = (error: unknown): string =>
  String((error as { message?: unknown } | null)?.message ?? "without a reason");

async function showJob(cli: Cli, job: Job): Promise<void> {
  const { id, workflow, step, state, runId, targetHost, ranOn, requires, error, result } = job;
  cli.table(
    ["", ""],
    [
      ["job", String(id)],
      ["step", `${step} of ${workflow}`],
      ["state", inColour(state)],
      ["run", runId ?? "none"],
      ["node", ranOn ?? targetHost ?? ""],
      ["item", job.item ? `${job.item.index} of job ${job.item.of}` : ""],
      ["items", job.items ? describeItems(job.items) : ""],
      ["requires", requires.join(", ")],
      ["attempt", `${job.attempt} of ${job.maxAttempts}`],
      ["waits for", job.waitingReason?.summary ?? ""],
      ["result", result === null || result === undefined ? "" : JSON.stringify(result)],
      ["error", error ? messageOf(error) : ""],
    ].filter(([, value]) => value !== "") as [string, string][],
  );
  if (job.items && job.items.made > 0) await showItems(cli, job.id, job.items.failed > 0);
}

/** The most items that are shown; the API lists all. */
const MOST_ITEMS = 50;

/** The items of a step that maps over a list: those that failed, if there are any. */
async function showItems(cli: Cli, id: number, hasFailed: boolean): Promise<void> {
  const query = { limit: MOST_ITEMS, ...(hasFailed && { state: "failed" as const }) };
  const { data, next } = await cli.hub().client.listItems(id, query);
  cli.print("");
  cli.table(
    ["ITEM", "JOB", "STATE", "NODE", "TRY", ""],
    data.map((item) => [
      item.key,
      String(item.id),
      inColour(item.state),
      item.host ?? "",
      item.attempt > 1 ? `${item.attempt}/${item.maxAttempts}` : "",
      remarkOfItem(item),
    ]),
  );
  if (next !== null) cli.note(`\nthere are more: GET /api/loom/jobs/${id}/items`);
}

const remarkOfItem = ({ state, waitingReason, error }: Item): string =>
  state === "failed" ? (error?.message ?? "without a reason") : (waitingReason?.summary ?? "");

function showWorkflow(cli: Cli, { canRun, inputSchema, ...workflow }: Strand): void {
  const { name, version, schedule, paused, steps } = workflow;
  cli.print(`${cli.paint({ text: name, colour: "bold" })} (${version.slice(0, 12)})`);
  if (schedule) cli.print(`starts by itself at ${schedule.expression} (${schedule.timeZone})`);
  if (paused)
    cli.print(`paused since ${ago(paused.since)}${paused.note ? `: ${paused.note}` : ""}`);
  cli.print("");
  cli.table(
    ["STEP", "AFTER", "HOST", "REQUIRES", "NOW"],
    steps.map(({ name: step, after, host, requires }) => {
      const verdict = canRun.steps.find((each) => each.step === step);
      return [step, after.join(", "), host ?? "", requires.join(", "), verdict?.summary ?? ""];
    }),
  );
  const properties = (inputSchema.properties ?? {}) as Record<string, { [key: string]: unknown }>;
  const required = new Set((inputSchema.required as string[] | undefined) ?? []);
  if (Object.keys(properties).length === 0) return;
  cli.print("");
  cli.table(
    ["INPUT", "TYPE", "", ""],
    Object.entries(properties).map(([field, schema]) => [
      field,
      String(schema.type ?? (schema.enum ? JSON.stringify(schema.enum) : "any")),
      required.has(field) ? "required" : "",
      schema.default === undefined ? "" : `default ${JSON.stringify(schema.default)}`,
    ]),
  );
}
