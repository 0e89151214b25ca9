import { spawn } from "node:child_process";
import type { Cli, Program } from "../cli.ts";
import { findSubject } from "../hub/find-run.ts";

/** `open`: the dashboard, at a run, a job or a workflow. */
export function defineOpen(program: Program, cli: Cli): void {
  program
    .command("open")
    .summary("open the dashboard in a browser")
    .description("Open the dashboard in a browser, and print its address.")
    .argument("[subject]", "a run, a job or a workflow")
    .action(async (word) => {
      const { url, client } = cli.hub();
      const address = word === undefined ? url : `${url}/${await pathOf(client, word)}`;
      if (cli.json) cli.printJson({ url: address });
      else cli.print(address);
      if (cli.isTerminal) await browse(address);
    });
}

async function pathOf(client: Parameters<typeof findSubject>[0], word: string): Promise<string> {
  const subject = await findSubject(client, word);
  if (subject.kind === "run") return `runs/${subject.id}`;
  if (subject.kind === "workflow") return `workflows/${encodeURIComponent(subject.name)}`;
  const { runId } = await client.getJob(subject.id);
  return runId === null ? `explain?job=${subject.id}` : `runs/${runId}`;
}

/** Asks the desktop to open an address. A machine without one has nothing to do. */
function browse(address: string): Promise<void> {
  const [program = "", ...args] =
    process.platform === "darwin"
      ? ["open"]
      : process.platform === "win32"
        ? ["cmd", "/c", "start", ""]
        : ["xdg-open"];
  return new Promise((resolve) => {
    const child = spawn(program, [...args, address], { stdio: "ignore", detached: true });
    child.once("error", () => resolve());
    child.once("spawn", () => {
      child.unref();
      resolve();
    });
  });
}
