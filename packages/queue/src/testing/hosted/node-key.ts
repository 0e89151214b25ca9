import { randomBytes } from "node:crypto";
import type { Database } from "@loom/local-db";
import { createClient } from "@supabase/supabase-js";
import { digestOf } from "../../access/tokens.ts";
import { createQueue, type Queue } from "../../queue.ts";

/** A key as a machine makes it, and what the database keeps of it. */
export interface MadeKey {
  text: string;
  digest: string;
}

/** Makes a node's key (`loomn_`) or a join token (`loomj_`). */
export function makeKey(prefix: "loomn" | "loomj" = "loomn"): MadeKey {
  const text = `${prefix}_${randomBytes(32).toString("base64url")}`;
  return { text, digest: digestOf(text) };
}

/** Gives a node a key that may offer anything, past the functions; the key. */
export async function grantNodeKey({ sql }: Pick<Database, "sql">, node: string): Promise<string> {
  const { text, digest } = makeKey();
  await sql`insert into public.loom_node_keys (node, digest, may_offer, created_by)
            values (${node}, ${digest}, array['*'], 'a test')`;
  return text;
}

/** The queue of an agent: the publishable key, and the node's own in its header. */
export const queueWithKey = (
  { url, anonKey }: Pick<Database, "url" | "anonKey">,
  nodeKey: string | undefined,
): Queue =>
  createQueue({
    client: createClient(url, anonKey, {
      auth: { persistSession: false, autoRefreshToken: false },
      global: { headers: nodeKey === undefined ? {} : { "x-loom-node-key": nodeKey } },
    }),
  });

/** A node that has joined, and its queue. */
export interface JoinedMachine extends MadeKey {
  keyId: string;
  queue: Queue;
}

/** Lets a machine join under a name, with a token that allows it these offers. */
export async function joinAs(
  node: string,
  { queue, database }: { queue: Queue; database: Database },
  { mayOffer = [] }: { mayOffer?: readonly string[] } = {},
): Promise<JoinedMachine> {
  const token = makeKey("loomj");
  const key = makeKey();
  await queue.createJoinToken({ digest: token.digest, createdBy: "ada", mayOffer });
  const { keyId } = await queue.joinNode({
    node,
    digest: key.digest,
    tokenDigest: token.digest,
    createdBy: "ada",
  });
  return { ...key, keyId, queue: queueWithKey(database, key.text) };
}
