import { writeFileSync } from "node:fs";
import type { Cli, Program } from "../cli.ts";
import { CliError } from "../errors.ts";
import { declareFleet } from "./declare-fleet.ts";

/** `types`: the names of machines and workflows for the compiler. */
export function defineTypes(program: Program, cli: Cli): void {
  program
    .command("types")
    .summary("let the compiler know the machines' names")
    .description(
      "Write a declaration file with which TypeScript knows what machines offer, their names and the workflows: a typo in requires or host is an error in the editor.",
    )
    .argument("[file]", "where to write it; - is standard output", "loom-fleet.d.ts")
    .action(async (file) => {
      const { client, url } = cli.hub();
      const [{ data: nodes }, { data: workflows }] = await Promise.all([
        client.listNodes(),
        client.listStrands(),
      ]);
      const text = declareFleet({ nodes, workflows }, url);
      if (cli.json) return cli.printJson({ declaration: text });
      if (file === "-") return cli.write(text);
      try {
        writeFileSync(file, text);
      } catch (error) {
        throw new CliError("FILE_UNWRITABLE", {
          what: `${file} cannot be written`,
          why: (error as Error).message,
          fix: "loom types FILE, in the folder of your workflows",
          cause: error,
        });
      }
      cli.note(`wrote ${file}: ${nodes.length} nodes, ${workflows.length} workflows`);
    });
}
