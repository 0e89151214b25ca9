import type { HubClient, JobExplanation, JobSummary, Run } from "@loom/client";
import type { Cli, Program } from "../cli.ts";
import { findSubject } from "../hub/find-run.ts";
import { fixCommand } from "../hub/fix-command.ts";
import { ago, clean, inColour, shortId } from "../output/text.ts";
import { messageOf } from "./runs.ts";

/** How many reasons fit one screen; the others are counted. */
const SHOWN = 5;

/** Why one job does not run, or how it ended, and what to do. */
interface Reason {
  job: number;
  runId: string | null;
  workflow: string;
  step: string;
  state: string;
  /** When the job was added. */
  since: string;
  code: string;
  summary: string;
  /** The node that lacks the least, and what it lacks. */
  nearest: { node: string; reasons: string[] } | null;
  /** A sentence that says what a person can do; null if there is nothing to do but wait. */
  advice: string | null;
  /** A command that does it, or that shows more. */
  fix: string | null;
  /** How many more jobs of the same step wait. */
  more: number;
}

/** `why`: what waits, and what would make it run. */
export function defineWhy(program: Program, cli: Cli): void {
  program
    .command("why")
    .summary("say why something waits, and what to do")
    .description(
      "Say why a run, a job or a workflow does not run: the reason, the machine that lacks the least, and a command that helps. Without an argument: everything that waits.",
    )
    .argument("[subject]", "a run, a job or a workflow")
    .action(async (word) => {
      const reasons = await findReasons(cli.hub().client, word);
      if (cli.json) return cli.printJson({ reasons });
      if (reasons.length === 0) {
        cli.print(word === undefined ? "nothing waits" : `${word} waits for nothing`);
        return;
      }
      cli.print(
        reasons
          .slice(0, SHOWN)
          .map((reason) => toText(cli, reason))
          .join("\n\n"),
      );
      const left = reasons.length - SHOWN;
      if (left > 0) cli.note(`\n${left} more: loom queue --state waiting`);
    });
}

/**
 * Finds the reasons of a run, a job or a workflow, or of everything that waits, one a step.
 *
 * @throws CliError when a word names nothing.
 */
export async function findReasons(hub: HubClient, word?: string | undefined): Promise<Reason[]> {
  const subject = word === undefined ? undefined : await findSubject(hub, word);
  if (subject?.kind === "job") return [await explain(hub, await hub.getJob(subject.id))];
  if (subject?.kind === "run") return reasonsOfRun(hub, await hub.getRun(subject.id));
  const query = subject ? { workflow: subject.name, limit: 200 } : { limit: 200 };
  // `pending` jobs are offered to a node, or pinned to one that is away.
  const pages = await Promise.all(
    (["waiting", "pending"] as const).map((state) => hub.listJobs({ ...query, state })),
  );
  const reasons = await explainGroups(
    hub,
    pages.flatMap(({ data }) => data),
  );
  if (reasons.length > 0 || !subject) return reasons;
  return predict(hub, subject.name);
}

/** One explanation a step: jobs of one step wait for the same. */
async function explainGroups(hub: HubClient, jobs: readonly JobSummary[]): Promise<Reason[]> {
  const groups = Object.values(
    Object.groupBy(jobs, ({ workflow, step, targetHost }) => `${workflow} ${step} ${targetHost}`),
  ).flatMap((group) => (group ? [group] : []));
  const explained = groups.slice(0, 4 * SHOWN).map(async (group) => {
    const [oldest] = group.toSorted((a, b) => a.id - b.id);
    return oldest ? [{ ...(await explain(hub, oldest)), more: group.length - 1 }] : [];
  });
  return (await Promise.all(explained)).flat();
}

async function reasonsOfRun(hub: HubClient, run: Run): Promise<Reason[]> {
  const { id, workflow, status, createdAt, steps } = run;
  const about = { runId: id, workflow, more: 0 };
  const failed = steps.filter(({ state, optional }) => state === "failed" && !optional);
  if (status !== "running" && failed.length > 0) {
    return failed.map(({ id: job, step, state, host, error }) => ({
      ...about,
      ...{ job, step, state, since: createdAt, code: "failed" },
      summary: `${host ? `on ${host}: ` : ""}${messageOf(error)}`,
      nearest: null,
      advice: "read its output, then repeat it",
      fix: `loom logs ${shortId(id)} ${step} && loom retry ${shortId(id)}`,
    }));
  }
  const open = [
    ...steps.filter(({ state }) => state === "waiting" || state === "pending"),
    ...(await waitingItems(hub, steps)),
  ];
  // A blocked step waits for those that are open: they have the reason.
  const asked = open.length > 0 ? open : steps.filter(({ state }) => state === "blocked");
  const busy = steps.some(({ state }) => state === "running" || state === "mapping");
  const jobs = open.length === 0 && busy ? [] : asked.slice(0, 4 * SHOWN);
  return Promise.all(
    jobs.map(async ({ id: job, step }) => ({
      ...(await explain(hub, { id: job, runId: id, workflow, step, createdAt })),
    })),
  );
}

/** Finds the first waiting item of each step that maps over a list. Its other items wait for the same reason. */
async function waitingItems(
  hub: HubClient,
  steps: Run["steps"],
): Promise<{ id: number; step: string }[]> {
  const mapping = steps.filter(({ state }) => state === "mapping");
  const found = await Promise.all(
    mapping.map(async ({ id, step }) => {
      const { data } = await hub.listItems(id, { state: "waiting", limit: 1 });
      return data.map((item) => ({ id: item.id, step: `${step}[${item.key}]` }));
    }),
  );
  return found.flat();
}

/** Explains one job as placing would decide now. */
async function explain(
  hub: HubClient,
  job: Pick<JobSummary, "id" | "runId" | "workflow" | "step" | "createdAt">,
): Promise<Reason> {
  const explained = await hub.explainJob(job.id);
  const { explanation, holds } = explained;
  const nearest = explanation?.nearest ?? null;
  return {
    job: job.id,
    runId: job.runId,
    workflow: job.workflow,
    step: job.step,
    state: explained.state,
    since: job.createdAt,
    code: explained.code,
    summary: explained.summary,
    nearest:
      holds.length > 0 || nearest === null
        ? null
        : { node: nearest.node, reasons: nearest.failures.map(({ reason }) => reason) },
    ...whatToDo(explained, job),
    more: 0,
  };
}

function whatToDo(
  { code, explanation, holds }: JobExplanation,
  { id, runId, workflow }: Pick<JobSummary, "id" | "runId" | "workflow">,
): Pick<Reason, "advice" | "fix"> {
  if (code === "running") return { advice: null, fix: `loom logs -f ${id}` };
  if (code === "finished") return { advice: null, fix: `loom show ${runId ? shortId(runId) : id}` };
  if (holds.some((hold) => hold.code === "paused_workflow")) {
    return { advice: "resume the workflow", fix: `loom workflow resume ${workflow}` };
  }
  const wait = holds.find((hold) => hold.code === "signal" || hold.code === "approval");
  if (wait) return { advice: null, fix: wait.fix };
  if (holds.length > 0 || !explanation) return { advice: null, fix: null };
  return { advice: explanation.fix, fix: fixCommand(explanation) ?? null };
}

/** Says what would keep a run of the workflow waiting if it were started now. */
async function predict(hub: HubClient, workflow: string): Promise<Reason[]> {
  const { canRun, paused } = await hub.getStrand(workflow);
  const about = { job: 0, runId: null, workflow, since: new Date().toISOString(), more: 0 };
  if (paused) {
    return [
      {
        ...about,
        ...{ step: "*", state: "paused", since: paused.since, code: "paused_workflow" },
        summary: `the workflow is paused${paused.note ? `: ${paused.note}` : ""}`,
        nearest: null,
        advice: "resume the workflow",
        fix: `loom workflow resume ${workflow}`,
      },
    ];
  }
  return canRun.steps
    .filter(({ verdict }) => verdict !== "now")
    .map(({ step, verdict, code, summary, fix }) => ({
      ...about,
      ...{ step, state: verdict, code, summary, nearest: null, advice: fix },
      fix: `loom run ${workflow} --allow-unsatisfiable && loom why ${workflow}`,
    }));
}

function toText(cli: Cli, reason: Reason): string {
  const { workflow, step, state, since, runId, job, nearest, advice, fix, more } = reason;
  const of = runId ? `run ${shortId(runId)}` : job > 0 ? `job ${job}` : "the next run";
  const others = more > 0 ? `, and ${more} more like it` : "";
  const lines = [
    `${workflow} / ${step}  ${cli.paint(inColour(state))}, ${ago(since)}  (${of}${others})`,
    `  why      ${clean(reason.summary)}`,
    ...(nearest ? [`  nearest  ${nearest.node}: ${clean(nearest.reasons.join("; "))}`] : []),
    ...(advice ? [`  help     ${clean(advice)}`] : []),
    ...(fix ? [`  fix      ${cli.paint({ text: fix, colour: "bold" })}`] : []),
  ];
  return lines.join("\n");
}
