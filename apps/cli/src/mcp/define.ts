import type { Cli, Program } from "../cli.ts";
import { unknownName } from "../errors.ts";
import type { Allowed } from "./tools.ts";

/** What a client may do besides reading, by the scope that the hub asks for. */
const ALLOWED: readonly Allowed[] = ["run", "operate"];

/** `mcp`: the same operations for a client of the Model Context Protocol. */
export function defineMcp(program: Program, cli: Cli): void {
  program
    .command("mcp")
    .summary("serve these operations to an MCP client")
    .description(
      "Serve the hub to a client of the Model Context Protocol, over standard input and output. Without --allow it can only read.",
    )
    .option("--allow <scopes>", "tools that change something: run, operate, separated by commas")
    .action(async ({ allow = "" }) => {
      const allowed = allow
        .split(",")
        .map((given) => given.trim())
        .filter((given) => given !== "")
        .map((given) => toAllowed(cli, given));
      // Its libraries are larger than everything else together.
      const { serveMcp } = await import("./serve.ts");
      await serveMcp(cli, new Set(allowed));
    });
}

function toAllowed(cli: Cli, given: string): Allowed {
  const known = ALLOWED.find((each) => each === given);
  if (known) return known;
  const what = `there are no tools for ${JSON.stringify(given)}`;
  const asked = { what, name: given, known: ALLOWED, argv: cli.argv, list: "loom mcp --help" };
  throw unknownName("USAGE", asked);
}
