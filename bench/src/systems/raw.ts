import postgres from "postgres";
import { INPUT, inBatches, nodes, onEachNode, RESULT, type System, WORKERS } from "../system.ts";

/**
 * What the same transitions cost at the least: three prepared statements on a table with Loom's
 * columns, indexes and fill factor, and without functions, events, constraints, limits, answers for
 * items or a memory of claims.
 */
export const raw: System = {
  name: "raw",
  about: "three prepared statements on a table of the same shape: the ceiling",
  async open({ databaseUrl, socketDir }) {
    const sql = postgres(databaseUrl, {
      host: socketDir,
      max: WORKERS,
      onnotice: () => undefined,
      // By the indexes, whatever the statistics say: the ceiling is the best plan.
      connection: { options: "-c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off -c enable_bitmapscan=off" },
    });
    await sql`
      create table public.raw_jobs (
        like public.loom_job_queue including defaults including identity including indexes including storage
      ) with (fillfactor = 80)`;
    const input = JSON.stringify(INPUT);
    const result = JSON.stringify(RESULT);
    return {
      enqueue: (load) =>
        inBatches(
          load,
          (size, node) => sql`
            insert into public.raw_jobs
              (workflow_id, step_id, payload, requirement_key, host_pinned, target_host, state)
            select 'bench', 'work', payload, 'none', true, ${node}, 'pending'
              from unnest(${Array.from({ length: size }, () => input)}::text[]) as payload
            returning id`,
        ),
      drain: ({ batch }) =>
        onEachNode(async (_, index) => {
          const node = nodes[index] ?? "";
          for (let settled = 0, seq = 1; ; seq += 1) {
            const jobs = await sql<{ id: string; fence: number }[]>`
              with due as materialized (
                select id from public.raw_jobs
                 where state = 'pending' and target_host = ${node} and run_at <= now()
                 order by priority, run_at, id
                 limit ${batch}
                   for no key update skip locked
              )
              update public.raw_jobs as job
                 set state = 'running', fence = fence + 1, attempt = attempt + 1, claimed_by = ${node},
                     ran_on = ${node}, epoch = 1, claim_seq = ${seq}, claimed_at = now(),
                     deadline_at = now() + (timeout_ms + 60000) * interval '1 millisecond'
                from due
               where job.id = due.id
              returning job.id, fence, workflow_id, step_id, payload`;
            if (jobs.length === 0) return settled;
            const { count } = await sql`
              update public.raw_jobs as job
                 set state = 'succeeded', settled_fence = item.fence, result = item.result, finished_at = now(),
                     claimed_by = null, epoch = null, claim_seq = null, deadline_at = null
                from unnest(${jobs.map(({ id }) => id)}::bigint[], ${jobs.map(({ fence }) => fence)}::integer[],
                            ${jobs.map(() => result)}::text[]) as item (id, fence, result)
               where job.id = item.id and job.fence = item.fence and job.ran_on = ${node} and job.state = 'running'
              returning job.id`;
            settled += count;
          }
        }),
      [Symbol.asyncDispose]: () => sql.end(),
    };
  },
};
