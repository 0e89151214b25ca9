import { everyPage, type JobSummary } from "@loom/client";
import type { Cli, Program } from "../cli.ts";
import { unknownName } from "../errors.ts";
import { findRun } from "../hub/find-run.ts";
import { readDuration } from "../input/duration.ts";
import { readNumber } from "../input/number.ts";
import { ago, clean, inColour, shortId } from "../output/text.ts";

const OPEN = ["running", "mapping", "pending", "waiting", "suspended", "blocked"] as const;
const STATES = [...OPEN, "succeeded", "failed", "cancelled", "skipped"] as const;

/** `queue` and `events`: single jobs, and what happens to them. */
export function defineQueue(program: Program, cli: Cli): void {
  program
    .command("queue")
    .description("list jobs: what runs, and what is to run")
    .option("--state <state>", STATES.join(", "))
    .option("--workflow <workflow>", "of this workflow alone")
    .option("--node <node>", "on this node alone")
    .option("-n, --limit <number>", "how many of each state", "50")
    .action((options) => queue(cli, options));

  program
    .command("events")
    .summary("print what happened, and go on as it happens")
    .description(
      "Print events, the oldest first: one line of text each on a terminal, and one line of JSON each elsewhere.",
    )
    .option("-f, --follow", "go on as more happens")
    .option("--past <duration>", "begin so long ago, at most an hour", "10m")
    .option("--run <run>", "of this run alone")
    .action((options) => events(cli, options));
}

interface QueueOptions {
  state?: string | undefined;
  workflow?: string | undefined;
  node?: string | undefined;
  limit: string;
}

async function queue(cli: Cli, { state, workflow, node, limit }: QueueOptions): Promise<void> {
  const { client } = cli.hub();
  const only = STATES.find((each) => each === state);
  if (state !== undefined && only === undefined) {
    const what = `there is no state ${state}`;
    const asked = { what, name: state, known: STATES, argv: cli.argv, list: "loom queue --help" };
    throw unknownName("USAGE", asked);
  }
  const most = readNumber("--limit", limit, { min: 1, max: 10_000 });
  const filters = { ...(workflow && { workflow }), ...(node && { node }) };
  const lists = await Promise.all(
    (only ? [only] : OPEN).map(async (each) => {
      const jobs: JobSummary[] = [];
      const query = { ...filters, state: each, limit: Math.min(most, 200) };
      for await (const job of everyPage(client.listJobs, query)) {
        jobs.push(job);
        if (jobs.length === most) break;
      }
      return jobs;
    }),
  );
  const jobs = lists.flat();
  if (cli.json) return cli.printJson({ jobs });
  if (jobs.length === 0) return cli.note("the queue is empty");
  cli.table(
    ["JOB", "STATE", "WORKFLOW", "STEP", "RUN", "NODE", "SINCE", "WAITS FOR"],
    jobs.map((job) => [
      String(job.id),
      inColour(job.state),
      job.workflow,
      job.step,
      job.runId ? shortId(job.runId) : "",
      job.ranOn ?? job.targetHost ?? "",
      ago(job.claimedAt ?? job.createdAt),
      job.waitingReason?.summary ?? "",
    ]),
  );
}

interface EventOptions {
  follow?: true | undefined;
  past: string;
  run?: string | undefined;
}

async function events(cli: Cli, { follow, past, run }: EventOptions): Promise<void> {
  const { client } = cli.hub();
  const pastMs = Math.min(readDuration("--past", past), 3_600_000);
  const only = run === undefined ? undefined : await findRun(client, run);
  // A stream that nobody answers would be opened again and again.
  await client.getSession();
  // Past events are what a stream begins with, up to `now`.
  for await (const { event, data } of client.streamEvents({ pastMs: Math.max(pastMs, 1) })) {
    if (event === "now") {
      if (!follow) return;
      continue;
    }
    if (event === "reset") {
      cli.note("events are missing here");
      continue;
    }
    if (only !== undefined && data.runId !== only) continue;
    if (cli.json || !cli.isTerminal) {
      cli.printJson({ event: data });
      continue;
    }
    const { at, type, runId, jobId, node, detail } = data;
    const subject = [runId && shortId(runId), jobId && `job ${jobId}`, node].filter(Boolean);
    const time = cli.paint({ text: at.slice(11, 23), colour: "dim" });
    cli.print(
      `${time}  ${type.padEnd(20)}  ${subject.join(" ")}  ${clean(detail ?? "")}`.trimEnd(),
    );
  }
}
