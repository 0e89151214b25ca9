import type { Command } from "@commander-js/extra-typings";
import type { Cli } from "../cli.ts";
import { unknownName } from "../errors.ts";
import { clean } from "../output/text.ts";
import { complete } from "./complete.ts";
import { scripts } from "./scripts.ts";

/** `completion`: what a shell loads. `__complete` is what that asks. */
export function defineCompletion(
  program: Pick<Command, "command" | "commands" | "options" | "registeredArguments">,
  cli: Cli,
): void {
  program
    .command("completion")
    .summary("let Tab complete commands and names")
    .description(
      "Print a script for a shell, so that Tab completes commands and the names of workflows, nodes and runs. The script says where to load it.",
    )
    .argument("<shell>", "bash, zsh or fish")
    .action((shell) => {
      const known = Object.keys(scripts);
      const script = Object.entries(scripts).find(([name]) => name === shell)?.[1];
      if (script === undefined) {
        const what = `there is no completion for ${shell}`;
        const list = "loom completion bash";
        throw unknownName("USAGE", { what, name: shell, known, argv: cli.argv, list });
      }
      if (cli.json) cli.printJson({ script });
      else cli.print(script.trimEnd());
    });
  program
    .command("__complete", { hidden: true })
    .argument("[words...]")
    .action(async (words) => {
      for (const { word, about } of await complete(program, words, cli)) {
        cli.print(`${word}\t${clean(about).replaceAll(/\s+/g, " ")}`);
      }
    });
}
