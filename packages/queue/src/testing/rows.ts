import type { Database } from "@loom/local-db";

// These functions move the times in rows instead of the clock.

/** Ends every node's lease a moment ago. */
export const expireLeases = (database: Database) =>
  database.sql`update public.loom_node_sessions set expires_at = now() - interval '1 second'`;

/** Ends every offer a moment ago. */
export const expireOffers = (database: Database) =>
  database.sql`update public.loom_ready set offer_expires_at = now() - interval '1 second' where offer_expires_at is not null`;

/** Makes every delayed job due. */
export const makeDue = (database: Database): Promise<void> =>
  setRunAt(database, "least(run_at, now())");

/** Sets when jobs are due: those that have one of these keys, or all. */
export const setRunAt = async (
  { sql }: Pick<Database, "sql">,
  when: string,
  key?: string,
): Promise<void> => {
  await sql.unsafe(
    `with changed as (update public.loom_jobs set run_at = ${when} where $1::text is null or key = $1 returning id, run_at)
     update public.loom_ready as ready set run_at = changed.run_at from changed where job_id = id`,
    [key ?? null],
  );
};

/** Sets until when jobs with `startWithinMs` are worth starting. */
export const setStartBy = async (
  sql: Pick<Database["sql"], "unsafe">,
  when: string,
): Promise<void> => {
  await sql.unsafe(
    `with changed as (update public.loom_jobs set start_by = ${when} where start_by is not null returning id, start_by)
     update public.loom_ready as ready set start_by = changed.start_by from changed where job_id = id`,
  );
};

/** Lets the deadline of running jobs pass: of these, or of all. */
export const passDeadlines = async ({ sql }: Database, jobs?: number[]): Promise<void> => {
  await sql`
    update public.loom_jobs set claimed_at = now() - interval '1 day'
     where state = 'running' and (${jobs ?? null}::bigint[] is null or id = any(${jobs ?? null}::bigint[]))`;
  await sql`update public.loom_node_sessions set deadline_at = now()`;
};
