import type { Cli, Program } from "../../cli.ts";
import { usage } from "../../errors.ts";

/** `signal`: tells steps that wait for it what has happened. */
export function defineSignal(program: Program, cli: Cli): void {
  program
    .command("signal")
    .summary("send a signal to the steps that wait for it")
    .description(
      "Send a signal to the steps that wait for it (.waitFor). If none does, it is kept for a week for the next one.",
    )
    .argument("<event>")
    .option("--key <key>", "what it happened to; steps wait for one key")
    .option("--data <json>", "what the steps get as their result")
    .action(async (event, { key, data }) => {
      const sent = await cli.hub().client.sendSignal(event, {
        ...(key !== undefined && { key }),
        ...(data !== undefined && { data: parse(data) }),
      });
      if (cli.json) return cli.printJson({ signal: sent });
      const { waiting, otherKeys } = sent;
      if (waiting > 0) {
        return cli.print(`${waiting} step${waiting === 1 ? "" : "s"} had waited for it`);
      }
      cli.print("no step waits for it: it is kept for a week for the next one that does");
      if (otherKeys.length > 0) {
        const keys = otherKeys.map((each) => (each === "" ? "no key" : each)).join(", ");
        cli.print(
          `steps wait for ${event} with ${otherKeys.length === 1 ? "the key" : "the keys"} ${keys}`,
        );
      }
    });
}

function parse(text: string) {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw usage(
      `--data ${JSON.stringify(text)} is not JSON`,
      `--data '{"cents":950}', or --data '"text"'`,
    );
  }
}
