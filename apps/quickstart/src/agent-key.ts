import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { digestOf, isNodeKeyShaped, makeNodeKey } from "@loom/queue";
import { z } from "zod";
import { askHub, type HubAccess, HubRefusalError } from "./ask-hub.ts";
import { makeJoinToken } from "./join-token.ts";

const keysSchema = z.object({ data: z.array(z.object({ valid: z.boolean() })) });

/**
 * Joins the agent of this machine as any other machine joins, where the node has no valid key yet. So the agent works
 * with a key that can do no more than its node. It may offer whatever it declares, and `exec` where LOOM_EXEC says so:
 * whoever runs this owns both.
 *
 * The key is kept before the hub hears of it. A start that ends in between finds a node without a key the next time,
 * and makes another one. A key that the hub refuses is not kept: the next start would take it for the node's own.
 *
 * @param file - Where the key is kept, for its owner only.
 * @throws HubRefusalError
 */
export async function keepAgentKey(
  hub: HubAccess,
  { node, file }: { node: string; file: string },
): Promise<void> {
  if (isNodeKeyShaped(readText(file)) && (await hasValidKey(hub, node))) return;
  const { token } = await makeJoinToken(hub, { node, mayOffer: ["*", "exec"] });
  const key = makeNodeKey();
  writeFileSync(`${file}.new`, `${key}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
  const body = { token, node, digest: digestOf(key) };
  await askHub(hub, "POST", "/join", { body }).catch((error: unknown) => {
    // After any other failure the hub may know it.
    if (error instanceof HubRefusalError && error.status < 500) rmSync(file);
    throw error;
  });
}

async function hasValidKey(hub: HubAccess, node: string): Promise<boolean> {
  try {
    const { data } = keysSchema.parse(await askHub(hub, "GET", `/nodes/${node}/keys`));
    return data.some(({ valid }) => valid);
  } catch (error) {
    // No node of this name has ever been here.
    if (error instanceof HubRefusalError && error.status === 404) return false;
    throw error;
  }
}

function readText(file: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
