import type { Command } from "@commander-js/extra-typings";
import type { Cli } from "../cli.ts";

/** Adds the verbs `pause` and `resume` to the command of a noun, whose things are paused by their names. */
export function definePausing(
  cli: Cli,
  command: Command,
  {
    noun,
    pauses,
    resumes,
    pause,
    resume,
  }: {
    noun: "schedule" | "workflow";
    /** A description of each verb, for the help. */
    pauses: string;
    resumes: string;
    pause: (name: string, body: { note?: string }) => Promise<unknown>;
    resume: (name: string) => Promise<unknown>;
  },
): void {
  const idOf = { schedule: "id", workflow: "name" }[noun];
  const done = (name: string, status: string) => {
    if (cli.json) cli.printJson({ [noun]: { [idOf]: name, status } });
    else cli.note(`${name} is ${status}`);
  };
  command
    .command("pause")
    .description(pauses)
    .argument(`<${noun}>`)
    .option("--note <text>", "why, for others")
    .action(async (name, { note }) => {
      await pause(name, note === undefined ? {} : { note });
      done(name, "paused");
    });
  command
    .command("resume")
    .description(resumes)
    .argument(`<${noun}>`)
    .action(async (name) => {
      await resume(name);
      done(name, "active");
    });
}
