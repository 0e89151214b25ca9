import { openQueue } from "@loom/program";
import { digestOf, type Queue, QueueAccessError, QueueRequestError } from "@loom/queue";
import type { Env } from "./env.ts";
import { PreconditionError } from "./errors.ts";
import {
  dropNextKey,
  dropOldKey,
  keepNextKey,
  nextKey,
  readJoinedKey,
  readOldKey,
} from "./joined.ts";

/** What a change of the key works on. */
export interface KeyChange {
  /** The state folder, with the key that a join left there. */
  folder: string;
  node: string;
  /** A queue whose calls are made with this key. */
  queueWith(key: string): Pick<Queue, "rotateNodeKey" | "revokeOwnKey">;
  /** Has a running agent use the new key, until its session has gone over to it. */
  adopt(key: string): Promise<void>;
}

/**
 * Gives the node a new key and revokes the one of before. Both are valid in between, so nothing that runs is disturbed.
 *
 * It may end at any point and be called again. The new key is kept before the database hears of it, so a lost answer is
 * asked for again with the same one. The old key is kept until the database has revoked it.
 *
 * @returns The id of the new key.
 * @throws PreconditionError when there is no key here that a join left.
 * @throws What the queue throws. The key that the folder holds then is a valid one.
 */
export async function rotateKey(change: KeyChange): Promise<{ keyId: string }> {
  const { folder, node, queueWith, adopt } = change;
  const before = readJoinedKey(folder);
  if (before === undefined) {
    throw new PreconditionError(
      `this machine has no key of a join in ${folder}: run loom-agent join HUB, or change LOOM_NODE_KEY where you set it`,
    );
  }
  await revokeOldKey(change);
  const next = nextKey(folder);
  const { keyId } = await queueWith(before)
    .rotateNodeKey(node, digestOf(next))
    .catch((error: unknown) => {
      if (error instanceof QueueRequestError && error.reason === "NODE_KEY_USED") {
        dropNextKey(folder);
      }
      throw error;
    });
  keepNextKey(folder);
  await adopt(next);
  await revokeOldKey(change);
  return { keyId };
}

/**
 * Revokes the key that a change has replaced, if that is left to do.
 *
 * @throws What the queue throws. Then it is still left to do.
 */
export async function revokeOldKey({
  folder,
  node,
  queueWith,
}: Pick<KeyChange, "folder" | "node" | "queueWith">): Promise<void> {
  const old = readOldKey(folder);
  if (old !== undefined) {
    await queueWith(old)
      .revokeOwnKey(node)
      .catch((error: unknown) => {
        // It is revoked already: an answer was lost, or an administrator was faster.
        if (!(error instanceof QueueAccessError)) throw error;
      });
  }
  dropOldKey(folder);
}

/** The key of a running agent, and the queue whose calls are made with it. */
export interface AgentKey {
  queue: Queue;
  /** The key of this moment; undefined: calls are made with the service key. */
  current(): string | undefined;
  /**
   * Changes the key. A second call while one is at work gets that one's answer.
   *
   * @param confirm - Makes a heartbeat, and returns whether the database answered it.
   */
  rotate(confirm: () => Promise<boolean>): Promise<{ node: string; keyId: string }>;
}

/** Opens the queue of an agent, with a key that may change while it runs. */
export function openAgentKey(
  { database }: Pick<Env, "database">,
  { folder, node }: { folder: string; node: string },
): AgentKey {
  let current = database.nodeKey;
  const queueWith = (nodeKey: string) => openQueue({ ...database, nodeKey });
  const queue = openQueue({
    ...database,
    nodeKey: current === undefined ? undefined : () => current ?? "",
  });
  let rotating: Promise<{ node: string; keyId: string }> | undefined;

  async function rotate(confirm: () => Promise<boolean>) {
    if (current === undefined || current !== readJoinedKey(folder)) {
      throw new PreconditionError(
        "this agent's key is not one that a join left in its state folder: change LOOM_NODE_KEY, or its file, where you set it",
      );
    }
    // To revoke the key that the session was opened with would end the session, and what runs in it.
    const goOver = async () => {
      if (await confirm()) return;
      throw new PreconditionError(
        "the new key is in use, and the database has not answered yet, so the old one is not revoked: run this again",
      );
    };
    if (readOldKey(folder) !== undefined) await goOver();
    const { keyId } = await rotateKey({
      ...{ folder, node, queueWith },
      async adopt(next) {
        current = next;
        await goOver();
      },
    });
    return { node, keyId };
  }

  return {
    queue,
    current: () => current,
    rotate(confirm) {
      rotating ??= rotate(confirm).finally(() => {
        rotating = undefined;
      });
      return rotating;
    },
  };
}
