import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { hubCode, type OwnCode, type Variables } from "@loom/program";
import type { Log } from "@loom/worker";
import { hubStateDir } from "../embedded.ts";

/**
 * Opens the hub's signing key and its bundles. If the state folder cannot be used, they are in a folder that ends with
 * this process. Nodes that joined with the earlier key then refuse code that is signed with the new one.
 *
 * @throws SigningKeyError when the key's file exists and cannot be used.
 */
export async function openHubCode(variables: Variables, log: Log): Promise<OwnCode> {
  const workflows = variables.LOOM_WORKFLOWS_DIR?.trim() || undefined;
  const keyFile = variables.LOOM_SIGNING_KEY_FILE?.trim() || undefined;
  try {
    return await hubCode(hubStateDir(variables), { workflows, keyFile });
  } catch (err) {
    if (keyFile !== undefined || isExposed(err)) throw err;
    log.warn(
      { err },
      "the hub cannot keep its signing key, so machines that join have to join again after each start: set LOOM_STATE_DIR to a folder that it may write to",
    );
    return await hubCode(await mkdtemp(path.join(tmpdir(), "loom-hub-")), { workflows });
  }
}

/** Whether other users may read the key. Making a new key silently would hide that. */
const isExposed = (error: unknown): boolean =>
  error instanceof Error && error.name === "SigningKeyError" && error.cause === undefined;
