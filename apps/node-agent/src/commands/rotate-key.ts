import { queueOf } from "../agent.ts";
import { ask, findAgent } from "../control/control-client.ts";
import { readEnv } from "../env.ts";
import { NoAgentError, PreconditionError } from "../errors.ts";
import { readJoined, withJoined } from "../joined.ts";
import { rotateKey } from "../rotate-key.ts";
import { stateDir } from "../state-dir.ts";
import type { Command } from "./parse-command.ts";

/**
 * Gives this machine's node a new key and revokes the old one. A running agent does it itself, and what it runs goes
 * on; without one it is done here.
 *
 * @throws PreconditionError when the key is not one that a join left here.
 */
export async function rotate({ name, json }: Command, variables: NodeJS.ProcessEnv): Promise<void> {
  const joined = readJoined(stateDir(variables));
  const socket = await findAgent(variables, name ?? joined?.node).catch((error: unknown) => {
    if (error instanceof NoAgentError && joined) return undefined;
    throw error;
  });
  const { node, keyId } =
    socket === undefined
      ? await rotateHere(variables)
      : ((await ask(socket, "POST", "/rotate-key")) as { node: string; keyId: string });
  console.log(
    json
      ? JSON.stringify({ schema: "loom.agent-rotate-key/v1", node, keyId })
      : `changed    ${node} has a new key (${keyId}), and the old one is revoked`,
  );
}

async function rotateHere(variables: NodeJS.ProcessEnv): Promise<{ node: string; keyId: string }> {
  const folder = stateDir(variables);
  const joined = readJoined(folder);
  if (!joined) throw new PreconditionError(`this machine has joined no hub (${folder})`);
  const { node } = joined;
  const env = readEnv(withJoined(variables));
  const { keyId } = await rotateKey({
    ...{ folder, node },
    queueWith: (nodeKey) => queueOf({ ...env, database: { ...env.database, nodeKey } }),
    adopt: async () => {},
  });
  return { node, keyId };
}
