import { setTimeout as sleep } from "node:timers/promises";
import { ask, findAgent, type PrintedStatus } from "../control/control-client.ts";
import type { Command } from "./parse-command.ts";

/** How often to look whether the steps are over: at a socket of this machine. */
const LOOK_MS = 500;

/** Has the agent of this machine pause, drain or resume its node; prints what came of it. */
export async function steer(
  { verb, name, note, forMs, wait, json }: Command,
  variables: NodeJS.ProcessEnv,
): Promise<void> {
  const socket = await findAgent(variables, name);
  const answer = (await ask(socket, "POST", `/${verb}`, { note, forMs })) as { returned: number };
  if (!json) {
    console.error(
      verb === "resume"
        ? "takes work again"
        : `takes no more work; ${answer.returned} offers are placed elsewhere`,
    );
  }
  let left = await jobsOf(socket);
  while (wait && left > 0) {
    await sleep(LOOK_MS);
    left = await jobsOf(socket);
  }
  if (json)
    console.log(JSON.stringify({ schema: "loom.agent-steer/v1", ...answer, running: left }));
  else if (verb !== "resume") console.error(left === 0 ? "nothing runs" : `${left} still running`);
}

const jobsOf = async (socket: string): Promise<number> =>
  ((await ask(socket, "GET", "/status")) as PrintedStatus).jobs.length;
