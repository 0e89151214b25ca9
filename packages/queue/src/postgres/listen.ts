import { randomUUID } from "node:crypto";
import type { Sql } from "postgres";
import { toError } from "./postgres-transport.ts";

const CHANNEL = "loom_offers";
const SELF_TEST_MS = 3_000;

/** `LISTEN` reaches this connection's server, but nothing comes back. */
export class ListenUnavailableError extends Error {
  override readonly name = "ListenUnavailableError";
  readonly code = "LISTEN_UNAVAILABLE";
  constructor() {
    super(
      "a notification that was sent on this connection did not come back: a transaction pooler (port 6543 of Supabase, pgbouncer) swallows them. Use the session port or the direct connection, or poll",
    );
  }
}

/**
 * Calls back with the nodes that have new offers, as they are notified.
 *
 * A pooler may accept `LISTEN` and never deliver, so a notification of our own has to
 * come back first. A notification is a hint all the same: go on polling.
 *
 * @returns A function that stops listening.
 * @throws ListenUnavailableError
 * @throws QueueUnavailableError when the server does not answer.
 */
export async function listenForOffers(
  sql: Sql,
  onOffers: (nodes: string[]) => void,
): Promise<() => Promise<void>> {
  const token = `self-test ${randomUUID()}`;
  const heard = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;
  try {
    // Is there a server? postgres.js goes on trying for a listener whom it told that it failed.
    await sql`select 1`;
    const { unlisten } = await sql.listen(CHANNEL, (payload) => {
      if (payload === token) heard.resolve();
      else if (!payload.startsWith("self-test ")) onOffers(payload.split(","));
    });
    timer = setTimeout(() => heard.reject(new ListenUnavailableError()), SELF_TEST_MS);
    await Promise.all([heard.promise, sql.notify(CHANNEL, token)]).catch(async (error) => {
      await unlisten();
      throw error;
    });
    return unlisten;
  } catch (error) {
    throw error instanceof ListenUnavailableError ? error : toError("listen", error);
  } finally {
    clearTimeout(timer);
  }
}
