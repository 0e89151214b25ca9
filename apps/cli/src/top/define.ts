import type { Cli, Program } from "../cli.ts";
import { readDuration } from "../input/duration.ts";
import { type Fleet, toScreen } from "./screen.ts";

/** The other screen of a terminal, and back. The cursor is hidden there. */
const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";
/** Back to the corner; what is left of the old picture is cleared line by line. */
const HOME = "\u001b[H";
const REST_OF_LINE = "\u001b[K";
const REST_OF_SCREEN = "\u001b[J";

/** `top`: machines and runs as they are now. */
export function defineTop(program: Program, cli: Cli): void {
  program
    .command("top")
    .summary("watch machines and runs")
    .description(
      "Watch the machines, the runs and what waits. q or Ctrl-C ends it. Where no terminal is, print it once.",
    )
    .option("--every <duration>", "how often to look", "2s")
    .action((options) => top(cli, readDuration("--every", options.every)));
}

async function top(cli: Cli, everyMs: number): Promise<void> {
  const first = await read(cli);
  if (cli.json) return cli.printJson(first);
  if (!cli.isTerminal) return cli.print(toScreen(first, { width: 200, height: 1_000 }).join("\n"));
  await watch(cli, { first, everyMs: Math.max(everyMs, 200) });
}

/** Draws until the person has had enough. The screen is as before then, whatever ends it. */
async function watch(
  cli: Cli,
  { first, everyMs }: { first: Fleet; everyMs: number },
): Promise<void> {
  const { stdout, stdin } = process;
  let fleet = first;
  let problem = "";
  const draw = () => {
    const { columns: width = 80, rows: height = 24 } = stdout;
    const lines = toScreen(fleet, { width, height: height - 1, paint: cli.paint });
    const foot = cli.paint({ text: problem || "q ends it", colour: problem ? "red" : "dim" });
    stdout.write(
      HOME + [...lines, foot].map((line) => line + REST_OF_LINE).join("\r\n") + REST_OF_SCREEN,
    );
  };
  const enough = new Promise<void>((resolve) => {
    process.once("SIGINT", resolve).once("SIGTERM", resolve).once("SIGHUP", resolve);
    if (!stdin.isTTY) return;
    stdin.setRawMode(true).on("data", (keys: Buffer) => {
      if (keys.includes("q") || keys.includes("\u0003")) resolve();
    });
  });
  stdout.write(ENTER);
  stdout.on("resize", draw);
  draw();
  const look = async () => {
    try {
      fleet = await read(cli);
      problem = "";
    } catch (error) {
      problem = `the hub does not answer: ${(error as Error).message}`;
    }
    draw();
  };
  const looking = setInterval(() => void look(), everyMs);
  await enough;
  clearInterval(looking);
  stdout.off("resize", draw);
  if (stdin.isTTY) stdin.setRawMode(false);
  stdout.write(LEAVE);
}

async function read(cli: Cli): Promise<Fleet> {
  const { client } = cli.hub();
  const [nodes, runs, waiting] = await Promise.all([
    client.listNodes(),
    client.listRuns({ status: "running", limit: 50 }),
    client.listJobs({ state: "waiting", limit: 50 }),
  ]);
  return { nodes: nodes.data, runs: runs.data, waiting: waiting.data };
}
