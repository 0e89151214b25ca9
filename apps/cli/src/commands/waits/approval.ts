import { type Approval, everyPage, type HubClient, HubError } from "@loom/client";
import type { Cli, Program } from "../../cli.ts";
import { CliError, unknownName } from "../../errors.ts";
import { findRun } from "../../hub/find-run.ts";
import { readNumber } from "../../input/number.ts";
import { collect, readInput } from "../../input/read-input.ts";
import { ago, type Cell, clean, shortId } from "../../output/text.ts";

/** `approvals`, `approve` and `reject`: what steps ask of people, and the answers. */
export function defineApproval(program: Program, cli: Cli): void {
  program
    .command("approvals")
    .summary("list what steps ask of people")
    .description("List what waits for a person to decide, newest first.")
    .option("--workflow <workflow>", "of this workflow alone")
    .option("--run <run>", "of this run alone")
    .option("--all", "also what was decided, and by whom")
    .option("-n, --limit <number>", "how many", "20")
    .action(async ({ workflow, run, all, limit }) => {
      const { client } = cli.hub();
      const most = readNumber("--limit", limit, { min: 1, max: 10_000 });
      const query = {
        state: all ? ("all" as const) : ("pending" as const),
        limit: Math.min(most, 200),
        ...(workflow !== undefined && { workflow }),
        ...(run !== undefined && { runId: await findRun(client, run) }),
      };
      const approvals: Approval[] = [];
      for await (const approval of everyPage(client.listApprovals, query)) {
        approvals.push(approval);
        if (approvals.length === most) break;
      }
      if (cli.json) return cli.printJson({ approvals });
      if (approvals.length === 0) return cli.note("nothing waits for a person");
      cli.table(
        ["RUN", "WORKFLOW", "STEP", "ASKED", "", "WHAT"],
        approvals.map((approval) => [
          shortId(approval.runId),
          approval.workflow,
          approval.step,
          ago(approval.askedAt),
          outcome(approval),
          approval.title,
        ]),
      );
      const first = approvals.find(({ state }) => state === "pending");
      if (first) cli.note(`\nloom approve ${shortId(first.runId)} ${first.step} --note "…"`);
    });

  program
    .command("approve")
    .summary("approve what a step asks")
    .description(
      "Approve what a step of a run asks: the only one, or the one that is named. A job's number works too.\n\nThe decision is about what is printed. With --digest it is refused if a step shows anything else by now.",
    )
    .argument("<run>")
    .argument("[step]")
    .option(
      "-i, --input <key=value>",
      "a field of what the step asks for, or all of it as JSON",
      collect,
    )
    .option("--input-file <file>", "a file with it as JSON; - is standard input")
    .option("--note <note>", "why; it is kept with the decision")
    .option("--digest <digest>", "of what was shown, as `loom approvals --json` prints it")
    .action(async (run, step, { note, digest, ...given }) => {
      const { client } = cli.hub();
      const asked = await find(cli, client, run, step);
      const input = await readInput(given, async () => asked.inputSchema ?? {});
      await decide(cli, client, asked, {
        decision: "approved",
        ...(input !== undefined && { input }),
        ...{ note, digest },
      });
    });

  program
    .command("reject")
    .alias("decline")
    .summary("reject what a step asks: it fails")
    .description("Reject what a step of a run asks. The step fails, and the run follows from that.")
    .argument("<run>")
    .argument("[step]")
    .option("--note <note>", "why; it is kept with the decision")
    .option("--digest <digest>", "of what was shown, as `loom approvals --json` prints it")
    .action(async (run, step, { note, digest }) => {
      const { client } = cli.hub();
      const asked = await find(cli, client, run, step);
      await decide(cli, client, asked, { decision: "rejected", ...{ note, digest } });
    });
}

/** The decision, or how long there is to decide. */
function outcome({ state, decidedBy, decidedAt, expiresAt }: Approval): Cell {
  if (state === "pending") return expiresAt === null ? "" : `ends ${ago(expiresAt)}`;
  const by = decidedBy === null ? "" : ` by ${decidedBy}`;
  const colour = state === "approved" ? "green" : state === "cancelled" ? "dim" : "red";
  return { text: `${state.replace("_", " ")}${by} ${ago(decidedAt)}`, colour };
}

/**
 * Finds what a run asks, or a job by its number.
 *
 * @throws CliError `APPROVAL_NOT_FOUND`, `AMBIGUOUS_APPROVAL`, `RUN_NOT_FOUND`.
 */
async function find(
  cli: Cli,
  client: HubClient,
  word: string,
  step: string | undefined,
): Promise<Approval> {
  if (step === undefined && /^\d{1,15}$/.test(word)) {
    try {
      return await client.getApproval(Number(word));
    } catch (error) {
      // A run's id may begin with digits alone.
      if (!(error instanceof HubError) || error.status !== 404 || word.length < 4) throw error;
    }
  }
  const runId = await findRun(client, word);
  const { data } = await client.listApprovals({ runId, state: "all", limit: 200 });
  const pending = data.filter(({ state }) => state === "pending");
  const found = step === undefined ? pending : data.filter((each) => each.step === step);
  const [asked, ...others] = found;
  if (asked === undefined) {
    if (step === undefined) {
      throw new CliError("APPROVAL_NOT_FOUND", {
        what: `run ${shortId(runId)} asks nobody at the moment`,
        why: data.length === 0 ? "no step of it has asked" : "what it asked is decided",
        fix: `loom approvals --run ${shortId(runId)} --all`,
      });
    }
    throw unknownName("APPROVAL_NOT_FOUND", {
      what: `step ${step} of run ${shortId(runId)} asks nobody`,
      name: step,
      known: pending.map((each) => each.step),
      argv: cli.argv,
      list: `loom approvals --run ${shortId(runId)}`,
    });
  }
  if (others.length > 0) {
    throw new CliError("AMBIGUOUS_APPROVAL", {
      what: `run ${shortId(runId)} asks ${found.length} things`,
      why: found.map((each) => `${each.step}: ${each.title}`).join(", "),
      fix: `name the step: loom approve ${shortId(runId)} ${asked.step}`,
    });
  }
  return asked;
}

async function decide(
  cli: Cli,
  client: HubClient,
  asked: Approval,
  {
    decision,
    note,
    digest = asked.digest,
    input,
  }: {
    decision: "approved" | "rejected";
    note: string | undefined;
    digest: string | undefined;
    input?: unknown;
  },
): Promise<void> {
  if (!cli.json) {
    cli.note(`${asked.workflow} / ${asked.step}: ${clean(asked.title)}`);
    if (asked.shown !== null) cli.note(clean(JSON.stringify(asked.shown)));
  }
  const approval = await client.decideApproval(asked.id, {
    ...{ decision, digest },
    ...(note !== undefined && { note }),
    ...(input !== undefined && { input }),
  });
  if (cli.json) return cli.printJson({ approval });
  const by = approval.decidedBy === null ? "" : ` by ${clean(approval.decidedBy)}`;
  cli.print(`${approval.state}${by}`);
}
