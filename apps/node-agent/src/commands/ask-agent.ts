import { setTimeout as sleep } from "node:timers/promises";
import { type WorkflowProblem, workflowProblemTitle } from "@loom/worker";
import { ask, findAgent, type PrintedStatus } from "../control/control-client.ts";
import { PreconditionError } from "../errors.ts";
import type { Command } from "./parse-command.ts";

/** Prints the status of the agent of this machine. */
export async function status(
  { name, json, wait }: Command,
  variables: NodeJS.ProcessEnv,
): Promise<void> {
  const answer = wait ? await untilReady(name, variables) : await readStatus(name, variables);
  console.log(json ? JSON.stringify(answer) : describe(answer));
}

const READY_MS = 60_000;

async function readStatus(
  name: string | undefined,
  variables: NodeJS.ProcessEnv,
): Promise<PrintedStatus> {
  const socket = await findAgent(variables, name);
  return (await ask(socket, "GET", "/status")) as PrintedStatus;
}

/** Asks an agent that is about to start until the hub's database has heard of it. */
async function untilReady(
  name: string | undefined,
  variables: NodeJS.ProcessEnv,
): Promise<PrintedStatus> {
  const deadline = performance.now() + READY_MS;
  for (;;) {
    const answer = await readStatus(name, variables).catch((error: unknown) => {
      if (performance.now() > deadline) throw error;
    });
    if (answer?.ready) return answer;
    if (performance.now() > deadline) {
      throw new PreconditionError(
        "the agent runs, and its hub has not heard of it for a minute: loom-agent doctor says why",
      );
    }
    await sleep(POLL_MS);
  }
}

function describe(answer: PrintedStatus): string {
  const { jobs, slots } = answer;
  const wakeServer = answer.wakeServer as { address: string; port: number } | null;
  const fault = answer.fault as { reason: string; since: string } | null;
  const workflows = Object.keys(answer.workflows as object);
  const problems = answer.problems as WorkflowProblem[];
  const probes = answer.probes as { name: string; result: string; evidence: string }[];
  return [
    `${answer.node}  ${answer.stopping ? "stopping" : (answer.nodeStatus ?? "no status yet")}, ${answer.ready ? "ready" : "not ready"}, loom-agent ${answer.version}, pid ${answer.pid}`,
    ...(fault ? [`fault      ${fault.reason}, since ${fault.since}`] : []),
    `running    ${jobs.length} of ${slots}`,
    ...jobs.map(
      ({ id, workflow, step, startedAt }) =>
        `           ${id} ${workflow} ${step}, since ${startedAt}`,
    ),
    `offers     ${(answer.capabilities as string[]).join(" ")}`,
    `workflows  ${workflows.join(" ") || "none"}`,
    ...problems.map((problem) => `           ${workflowProblemTitle(problem)}`),
    `wake-up    ${wakeServer ? `${wakeServer.address} port ${wakeServer.port}` : "none: polling only"}`,
    `heartbeat  ${answer.lastHeartbeatAt ?? "none yet"}`,
    ...probes.map(({ name, result, evidence }) => `probe      ${name}: ${result}, ${evidence}`),
  ].join("\n");
}

/** How often to ask, over a socket of this machine, whether the steps have ended. */
const POLL_MS = 500;

/** Has the agent of this machine pause, drain or resume its node, and prints the result. */
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
    await sleep(POLL_MS);
    left = await jobsOf(socket);
  }
  if (json)
    console.log(JSON.stringify({ schema: "loom.agent-steer/v1", ...answer, running: left }));
  else if (verb !== "resume") console.error(left === 0 ? "nothing runs" : `${left} still running`);
}

const jobsOf = async (socket: string): Promise<number> =>
  ((await ask(socket, "GET", "/status")) as PrintedStatus).jobs.length;
