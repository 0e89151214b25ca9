import path from "node:path";
import type { ExecRequest, Explanation, HubClient, StoredFile } from "@loom/client";
import { EXEC_CAPABILITY, EXEC_WORKFLOW, type ExecCommand, outputsOf } from "@loom/workflow/exec";
import type { Cli, Program } from "../cli.ts";
import { CliError, usage } from "../errors.ts";
import { findRun } from "../hub/find-run.ts";
import { fixCommand } from "../hub/fix-command.ts";
import { readDuration } from "../input/duration.ts";
import { readNumber } from "../input/number.ts";
import { collect } from "../input/read-input.ts";
import { shortId } from "../output/text.ts";
import { attach } from "./attach.ts";

interface ExecOptions {
  needs?: string[] | undefined;
  host?: string | undefined;
  env?: string[] | undefined;
  timeout?: string | undefined;
  retry?: string | undefined;
  count?: string | undefined;
  sweep?: string[] | undefined;
  in?: string | undefined;
  out?: string[] | undefined;
  force?: true | undefined;
  detach?: true | undefined;
  explain?: true | undefined;
  allowUnsatisfiable?: true | undefined;
}

const MAX_RETRIES = 999;
const MAX_COUNT = 1_000;

/** `exec` and `attach`: a command on the machine where it fits. */
export function defineExec(program: Program, cli: Cli): void {
  program
    .command("exec")
    .summary("run a command where it fits")
    .description(
      "Run a command on a machine that has what it needs. Its output comes here, and the exit code is the command's own. No shell reads it.\n\nCtrl-C cancels the command; a second one leaves it running. In an array, {index} and {name} of a sweep are replaced in arguments, variables and --out.\n\nWith --in or --out the command runs in a folder of its own, which goes when it has ended. What --out names is put under its name into the folder where you are, also when the command fails. It replaces nothing there without --force; in an array, the index is added to its name where names would be the same.",
    )
    .usage("[options] -- <program> [argument...]")
    .argument("<argv...>", "a program and its arguments, after --")
    .option(
      "-n, --needs <clause>",
      "what the machine must offer, such as 'gpu.vram-gb>=16'",
      collect,
    )
    .option("--host <node>", "the machine")
    .option("-e, --env <name=value>", "a variable of its environment", collect)
    .option("--timeout <duration>", "end it after this time, such as 2h")
    .option("--retry <times>", "repeat it when it fails")
    .option("--count <times>", "run it so often, as an array")
    .option("--sweep <name=values>", "run it for every value, such as lr=0.1,0.01", collect)
    .option("--in <path>", "send this folder, or file: the command runs in a copy of it")
    .option("--out <path>", "bring this file or folder back, which the command makes", collect)
    .option("--force", "let what comes back replace what is here; folders are merged")
    .option("-d, --detach", "print the id, and do not wait")
    .option("--explain", "say where it would run, and do not run it")
    .option("--allow-unsatisfiable", "let it wait even if no known node could run it")
    .action(async (argv, options) => {
      const request = toRequest(argv, options);
      if (options.explain) return explain(cli, request);
      await exec(cli, request, options);
    });

  program
    .command("attach")
    .summary("follow a command that runs, and end as it does")
    .description(
      "Print what a command of `loom exec` writes, from its beginning, and end as it ends. Ctrl-C cancels it; a second one leaves it running. What the command's --out names is put into this folder, if you started it.",
    )
    .argument("<run>")
    .option("--force", "let what comes back replace what is here; folders are merged")
    .option("--out", "put what it makes into this folder, whoever started it")
    .option("--no-out", "leave what it makes with the run: loom files RUN")
    .action(async (run, { force = false, out }) => {
      const { client } = cli.hub();
      const found = await client.getRun(await findRun(client, run));
      if (found.workflow !== EXEC_WORKFLOW) {
        throw new CliError("RUN_NOT_FOUND", {
          what: `run ${shortId(found.id)} is one of the workflow ${found.workflow}, and no command`,
          why: "attach ends with the exit code of a command, and this run has none",
          fix: `loom logs -f ${shortId(found.id)}`,
        });
      }
      process.exitCode = await attach(cli, found, { isOwn: false, force, out });
    });
}

async function exec(cli: Cli, request: ExecRequest, options: ExecOptions): Promise<void> {
  const { client } = cli.hub();
  const force = options.force ?? false;
  // The command may take hours: check first that its output has a place here.
  if (request.out && !options.detach) {
    const { checkPlaces } = await import("./files.ts");
    await checkPlaces(outputsOf(toCommand(request)), { force });
  }
  const input = options.in === undefined ? null : await send(client, options.in);
  const allow = options.allowUnsatisfiable ? { allowUnsatisfiable: true } : {};
  const planned = await client.startRun(EXEC_WORKFLOW, {
    input: { ...request, ...(input && { in: input }) },
    ...allow,
  });
  const { runId, verdict } = planned;
  const [waits] = verdict.steps.filter((each) => each.verdict !== "now");
  if (options.detach) {
    if (cli.json) return cli.printJson({ run: planned });
    cli.print(runId);
    if (waits) cli.note(`it waits: ${waits.summary}`);
    if (cli.isTerminal) cli.note(`follow it: loom attach ${shortId(runId)}`);
    return;
  }
  if (cli.json) cli.printJson({ run: planned });
  else if (waits) cli.note(`it waits: ${waits.summary} (loom why ${shortId(runId)})`);
  process.exitCode = await attach(cli, { id: runId }, { isOwn: true, force, out: true });
}

async function send(client: HubClient, place: string): Promise<StoredFile> {
  const { sendInput } = await import("./files.ts");
  return await sendInput(client, place);
}

/** @throws CliError `USAGE`. */
function toRequest(argv: readonly string[], options: ExecOptions): ExecRequest {
  const { needs, host, timeout, retry, count } = options;
  const env = (options.env ?? []).map((pair) => toPair(pair, "--env", "NAME=value"));
  const sweep = (options.sweep ?? []).map((pair) => {
    const [name, values] = toPair(pair, "--sweep", "lr=0.1,0.01");
    return { name, values: values.split(",") };
  });
  if (count !== undefined && sweep.length > 0) {
    throw usage("--count and --sweep exclude each other", "--sweep seed=1,2,3");
  }
  return {
    argv,
    ...(env.length > 0 && { env: Object.fromEntries(env) }),
    ...(needs && { needs }),
    ...(host !== undefined && { host }),
    ...(timeout !== undefined && { timeoutMs: readDuration("--timeout", timeout) }),
    ...(retry !== undefined && { retries: readNumber("--retry", retry, { max: MAX_RETRIES }) }),
    ...(count !== undefined && {
      count: readNumber("--count", count, { min: 1, max: MAX_COUNT }),
    }),
    ...(sweep.length > 0 && { sweep }),
    ...(options.out && { out: options.out.map(toOutPath) }),
  };
}

/** The path as the hub wants it: `./out//x/` is `out/x`. */
const toOutPath = (text: string): string =>
  path.posix
    .normalize(path.sep === "\\" ? text.replaceAll("\\", "/") : text)
    .replace(/(?<=.)\/$/, "");

/** The command that the hub makes of a request. */
const toCommand = ({ argv, env, needs, host, count, sweep, out }: ExecRequest): ExecCommand => ({
  ...{ argv, env: env ?? {}, needs: needs ?? [], host: host ?? null, count: count ?? null },
  ...{ sweep: sweep ?? [], in: null, out: out ?? [] },
});

function toPair(text: string, option: string, example: string): [string, string] {
  const at = text.indexOf("=");
  if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
  throw usage(
    `${option} takes a name and a value`,
    `${option} ${example}`,
    `it got ${JSON.stringify(text)}`,
  );
}

async function explain(cli: Cli, { needs = [], host }: ExecRequest): Promise<void> {
  const { client } = cli.hub();
  const requires = [...needs, EXEC_CAPABILITY];
  const found = await client.explain({ requires, ...(host && { host }) });
  if (cli.json) cli.printJson({ explanation: found });
  else {
    const order = (score: number | null) => score ?? -1;
    const nodes = found.nodes.toSorted((one, other) => order(other.score) - order(one.score));
    cli.table(
      ["MACHINE", "FITS", "WHY NOT"],
      nodes.map(({ node, eligibility, failures }) => [
        node,
        eligibility === "eligible" ? { text: "yes", colour: "green" } : "no",
        failures.map(({ reason }) => reason).join(", "),
      ]),
    );
    cli.note(found.summary);
    const fix = found.eligible === 0 && fixOf(found);
    if (fix) cli.note(`fix  ${fix}`);
  }
  if (found.eligible === 0) process.exitCode = 125;
}

const fixOf = (explanation: Explanation): string | undefined =>
  fixCommand(explanation) ?? explanation.fix ?? undefined;
