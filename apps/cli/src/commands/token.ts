import type { Scope } from "@loom/client";
import type { Cli, Program } from "../cli.ts";
import { unknownName, usage } from "../errors.ts";
import { readDuration } from "../input/duration.ts";
import { ago } from "../output/text.ts";

const SCOPES: readonly Scope[] = ["read", "run", "exec", "operate", "admin"];
const DAY_MS = 86_400_000;

/** `token`: who may call the hub. */
export function defineToken(program: Program, cli: Cli): void {
  const token = program.command("token").description("who may call the hub, and with which scopes");
  token
    .command("ls")
    .description("list tokens")
    .action(async () => {
      const { data } = await cli.hub().client.listTokens();
      if (cli.json) return cli.printJson({ tokens: data });
      if (data.length === 0) return cli.note("there is none: loom token add NAME --scope read");
      cli.table(
        ["ID", "NAME", "SCOPES", "MADE", "USED", "ENDS"],
        data.map(({ id, name, scopes, createdAt, lastUsedAt, expiresAt, revokedAt }) => [
          id,
          name,
          scopes.join(","),
          ago(createdAt),
          lastUsedAt ? ago(lastUsedAt) : "never",
          revokedAt ? `revoked ${ago(revokedAt)}` : expiresAt ? ago(expiresAt) : "never",
        ]),
      );
    });
  token
    .command("add")
    .summary("make a token, and print it once")
    .description("Make a token. It is printed once, alone on standard output.")
    .argument("<name>", "what it is for")
    .requiredOption("--scope <scopes>", `of ${SCOPES.join(", ")}, separated by commas`)
    .option("--expires <duration>", "when it ends, in days such as 90d; by default never")
    .action(async (name, { scope, expires }) => {
      const scopes = scope.split(",").map((given) => toScope(cli, given.trim()));
      const expiresInDays = expires === undefined ? undefined : readDays(expires);
      const made = await cli
        .hub()
        .client.createToken({ name, scopes, ...(expiresInDays && { expiresInDays }) });
      if (cli.json) return cli.printJson({ token: made });
      cli.print(made.token);
      cli.note(`${name} may ${scopes.join(", ")}; take it back: loom token revoke ${made.id}`);
    });
  token
    .command("revoke")
    .description("end a token, and everything that was opened with it")
    .argument("<id>", "as `loom token ls` prints it")
    .action(async (id) => {
      const revoked = await cli.hub().client.revokeToken(id);
      if (cli.json) return cli.printJson({ token: revoked });
      cli.note(`${revoked.name} is revoked`);
    });
}

function toScope(cli: Cli, given: string): Scope {
  const scope = SCOPES.find((each) => each === given);
  if (scope) return scope;
  const what = `there is no scope ${JSON.stringify(given)}`;
  const asked = { what, name: given, known: SCOPES, argv: cli.argv, list: "loom token add --help" };
  throw unknownName("USAGE", asked);
}

function readDays(text: string): number {
  const days = readDuration("--expires", text) / DAY_MS;
  if (Number.isInteger(days) && days >= 1) return days;
  throw usage("--expires takes whole days", "--expires 90d", `it got ${text}`);
}
