import { ask, findAgent, type PrintedStatus } from "../control/control-client.ts";
import type { Command } from "./parse-command.ts";

/** Prints what the agent of this machine is at. */
export async function status({ name, json }: Command, variables: NodeJS.ProcessEnv): Promise<void> {
  const socket = await findAgent(variables, name);
  const answer = (await ask(socket, "GET", "/status")) as PrintedStatus;
  console.log(json ? JSON.stringify(answer) : describe(answer));
}

function describe(answer: PrintedStatus): string {
  const { jobs, slots } = answer;
  const bell = answer.doorbell as { address: string; port: number } | null;
  const workflows = Object.keys(answer.workflows as object);
  const problems = answer.problems as { file: string; problem: string }[];
  const probes = answer.probes as { name: string; result: string; evidence: string }[];
  return [
    `${answer.node}  ${answer.stopping ? "stopping" : (answer.nodeStatus ?? "no status yet")}, ${answer.ready ? "ready" : "not ready"}, loom-agent ${answer.version}, pid ${answer.pid}`,
    `running    ${jobs.length} of ${slots}`,
    ...jobs.map(
      ({ id, workflow, step, startedAt }) =>
        `           ${id} ${workflow} ${step}, since ${startedAt}`,
    ),
    `offers     ${(answer.capabilities as string[]).join(" ")}`,
    `workflows  ${workflows.join(" ") || "none"}`,
    ...problems.map(({ file, problem }) => `           ${file}: ${problem}`),
    `doorbell   ${bell ? `${bell.address} port ${bell.port}` : "none: polling only"}`,
    `heartbeat  ${answer.lastHeartbeatAt ?? "none yet"}`,
    ...probes.map(({ name, result, evidence }) => `probe      ${name}: ${result}, ${evidence}`),
  ].join("\n");
}
