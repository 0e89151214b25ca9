import type { Database } from "@loom/local-db";

// The row moves, not the clock.

/** Every node's lease ended a moment ago. */
export const expireLeases = (database: Database) =>
  database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;

/** Every offer ended a moment ago. */
export const expireOffers = (database: Database) =>
  database.sql`update public.loom_job_queue set offer_expires_at = now() - interval '1 second' where offer_expires_at is not null`;

/** Every job that is delayed is due. */
export const makeDue = (database: Database) =>
  database.sql`update public.loom_job_queue set run_at = now() where run_at > now()`;
