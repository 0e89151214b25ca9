import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Variables } from "@loom/program";
import { QueueAccessError } from "@loom/queue";
import { defaultScope, openService } from "@loom/service";
import { queueOf } from "../agent.ts";
import { ask, findAgent, isAnswered, type PrintedStatus } from "../control/control-client.ts";
import { readEnv } from "../env.ts";
import { NoAgentError, PreconditionError } from "../errors.ts";
import { forgetJoined, readJoined, readJoinedKey, withJoined } from "../joined.ts";
import { revokeOldKey } from "../rotate-key.ts";
import { stateDir } from "../state-dir.ts";
import type { Command } from "./parse-command.ts";

const POLL_MS = 500;

/**
 * Takes this machine from its hub: lets what runs end, removes the service, and revokes and deletes the key.
 *
 * It works without the hub too. Then the key is deleted here, so nobody can use it, and the message says what is left
 * to do there.
 *
 * @throws PreconditionError when this machine has not joined.
 */
export async function leave(command: Command, variables: NodeJS.ProcessEnv): Promise<void> {
  const folder = stateDir(variables);
  const joined = readJoined(folder);
  if (!joined) {
    throw new PreconditionError(
      `this machine has joined no hub (${folder} has no hub.json): nothing to leave`,
    );
  }
  const { node, hub } = joined;
  const say = (text: string) => command.json || console.log(text);
  const pid = await drain(node, command, variables);
  if (pid !== undefined) say("drained    nothing runs");
  const service = openService({ name: "loom-agent", scope: defaultScope(), variables });
  if (existsSync(service.files.unit)) {
    await service.uninstall();
    say("service    removed");
  }
  if (pid !== undefined) await stop(node, pid, variables);
  const left = await revoke(folder, variables, node);
  forgetJoined(folder);
  say("key        deleted");
  if (command.json) {
    console.log(JSON.stringify({ schema: "loom.agent-leave/v1", node, hub, left }));
  } else {
    console.log(left === null ? `left       ${hub.url}` : `left       ${hub.url}, but ${left}`);
  }
}

/** Lets the agent that runs here finish. @returns Its process; undefined when none runs. */
async function drain(
  node: string,
  { forMs }: Command,
  variables: Variables,
): Promise<number | undefined> {
  const socket = await findAgent(variables, node).catch((error: unknown) => {
    if (error instanceof NoAgentError) return undefined;
    throw error;
  });
  if (socket === undefined) return undefined;
  const status = async () => (await ask(socket, "GET", "/status")) as PrintedStatus;
  const { pid } = await status();
  // Without its database an agent cannot be drained; stopping it gives it the grace for what runs.
  const isDraining = await ask(socket, "POST", "/drain", {
    note: "leaves the hub",
    ...(forMs !== undefined && { forMs }),
  }).then(
    () => true,
    () => false,
  );
  while (isDraining && (await status()).jobs.length > 0) await sleep(POLL_MS);
  return processId(pid);
}

/** A process's number, and not one that means several processes or the first one. */
function processId(said: unknown): number {
  const pid = Number(said);
  if (Number.isSafeInteger(pid) && pid > 1) return pid;
  throw new PreconditionError(
    "what answers at the agent's socket names no process: end it, and run this again",
  );
}

/** Stops an agent that no service manager started. */
async function stop(node: string, pid: number, variables: Variables): Promise<void> {
  const socket = await findAgent(variables, node).catch(() => undefined);
  if (socket === undefined) return;
  process.kill(pid, "SIGTERM");
  while (await isAnswered(socket)) await sleep(POLL_MS);
}

/** @returns What is left to do at the hub; null when nothing is. */
async function revoke(folder: string, variables: Variables, node: string): Promise<string | null> {
  if (readJoinedKey(folder) === undefined) return null;
  const env = readEnv(withJoined(variables));
  const queueWith = (nodeKey: string) =>
    queueOf({ ...env, database: { ...env.database, nodeKey } });
  try {
    await revokeOldKey({ folder, node, queueWith });
    await queueOf(env).revokeOwnKey(node);
    return null;
  } catch (error) {
    // Somebody revoked it before.
    if (error instanceof QueueAccessError) return null;
    return `the database did not answer, so the key is still listed there: remove ${node} in the dashboard, or with DELETE /api/loom/nodes/${node}`;
  }
}
