import type { Cli, Program } from "../cli.ts";
import { clean, inColour } from "../output/text.ts";

/** How many workflows are asked for at once. */
const AT_ONCE = 4;

/** `doctor` and `check`: what is wrong with the machines, and with the workflows. */
export function defineDoctor(program: Program, cli: Cli): void {
  program
    .command("doctor")
    .summary("say what is wrong, and how to fix it")
    .description(
      "Say what keeps the machines from running steps, and how to fix it. Exit 1 if something fails.",
    )
    .action(() => doctor(cli));
  program
    .command("check")
    .summary("say which workflows cannot be used")
    .description(
      "Say which workflow files cannot be used, with the place in the file, and which workflows no known node could run. Exit 1 if there is one.",
    )
    .action(() => check(cli));
}

async function doctor(cli: Cli): Promise<void> {
  const diagnosis = await cli.hub().client.getDoctor();
  if (diagnosis.status === "fail") process.exitCode = 1;
  if (cli.json) return cli.printJson({ diagnosis });
  for (const { name, status, summary, findings } of diagnosis.checks) {
    const mark = cli.paint(inColour(status)) + " ".repeat(Math.max(7 - status.length, 0));
    cli.print(`${mark} ${clean(name)}: ${clean(summary).replaceAll("\n", "\n          ")}`);
    for (const { subject, evidence, fix } of findings) {
      cli.print(`          ${clean(subject)}: ${clean(evidence)}`);
      cli.print(`          fix  ${clean(fix)}`);
    }
  }
}

async function check(cli: Cli): Promise<void> {
  const { client } = cli.hub();
  const { data, problems, loading } = await client.listStrands();
  const impossible: { workflow: string; step: string; summary: string; fix: string | null }[] = [];
  const names = data.map(({ name }) => name);
  while (names.length > 0) {
    const found = await Promise.all(names.splice(0, AT_ONCE).map((name) => client.getStrand(name)));
    for (const { name, canRun } of found) {
      for (const { step, verdict, summary, fix } of canRun.steps) {
        if (verdict === "never") impossible.push({ workflow: name, step, summary, fix });
      }
    }
  }
  if (problems.length + impossible.length > 0) process.exitCode = 1;
  if (cli.json) return cli.printJson({ problems, impossible, loading });
  for (const { file, line, column, frame, message, fix } of problems) {
    const place = [file, line, column].filter((part) => part !== null).join(":");
    cli.print(`${cli.paint(inColour("fail"))}  ${clean(place)}: ${clean(message)}`);
    if (frame) cli.print(clean(frame).replaceAll(/^/gm, "      "));
    if (fix) cli.print(`      fix  ${clean(fix)}`);
  }
  for (const { workflow, step, summary, fix } of impossible) {
    cli.print(`${cli.paint(inColour("fail"))}  ${workflow} / ${step}: ${clean(summary)}`);
    if (fix) cli.print(`      fix  ${clean(fix)}`);
  }
  for (const file of loading) cli.note(`${file} is still being imported`);
  const count = problems.length + impossible.length;
  if (count === 0) cli.note(`${data.length} workflows can be used`);
}
