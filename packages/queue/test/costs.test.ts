import type { ReservedSql } from "postgres";
import { expect } from "vitest";
import { postgresTest as test } from "./fixtures.ts";

/** How many pages a call reads. */
async function pagesOf(sql: ReservedSql, call: string): Promise<number> {
  type Explained = {
    "QUERY PLAN": { Plan: { "Shared Hit Blocks": number; "Shared Read Blocks": number } }[];
  };
  const [row] = await sql.unsafe<Explained[]>(
    `explain (analyze, buffers, format json) select * from ${call}`,
  );
  const plan = row?.["QUERY PLAN"][0]?.Plan;
  return (plan?.["Shared Hit Blocks"] ?? 0) + (plan?.["Shared Read Blocks"] ?? 0);
}

const SUSPENDED = `insert into public.loom_suspended (job_id, kind, due_at)
  select id, (array['sleep', 'signal', 'approval', 'condition'])[1 + id % 4], now() + interval '1 hour'
    from generate_series(1, 50000) as id`;

// Rows that nothing is done with have to cost nothing. Each case adds 50,000 of them, which are in more than 300 pages.
test.for([
  {
    call: "public.loom_next_due()",
    rows: SUSPENDED,
  },
  {
    call: "public.loom_end_waits()",
    rows: SUSPENDED,
  },
  {
    call: "public.loom_forget_requests()",
    rows: `insert into public.loom_request_keys (who, action, key, fingerprint, answer)
           select 'ada', 'startRun', id, 'f', repeat('x', 100) from generate_series(1, 50000) as id`,
  },
  {
    call: "public.loom_drop_signals(500)",
    rows: `insert into public.loom_signals (event, key, payload, is_new)
           select 'paid', id, repeat('x', 100), false from generate_series(1, 50000) as id`,
  },
])(
  "$call reads few pages beside many rows that it has nothing to do with",
  async ({ call, rows }, { sql }) => {
    const held = await sql.reserve();
    const pages = () => pagesOf(held, call);
    try {
      await held`begin`;
      // The first one also reads the catalogs.
      await pages();
      const before = await pages();
      await held.unsafe(rows);
      expect((await pages()) - before).toBeLessThan(100);
    } finally {
      await held`rollback`;
      held.release();
    }
  },
);

test("a storm of occurrences counts once what a hook has still to send", async ({ sql }) => {
  const held = await sql.reserve();
  const storm = (count: number) =>
    pagesOf(
      held,
      `public.loom_add_deliveries((
         select json_agg(json_build_object('at', clock_timestamp(), 'rule', 'run.failed', 'workflow', 'w', 'subject', n::text,
                                           'occurrence', n::text, 'facts', '{}'))
           from generate_series(1, ${count}) as n))`,
    );
  try {
    await held`begin`;
    await held`insert into public.loom_hooks (name, rules, target, sealed, created_by, workflows, enabled_at)
               values ('ops', '{run.failed}', '{}', 'x', 'ada', '{}', now())`;
    await held`insert into public.loom_hook_deliveries (hook, rule, subject, occurrence, facts)
               select 'ops', 'test', n, n, '{}' from generate_series(1, 1000) as n`;
    await held`analyze public.loom_hook_deliveries`;
    await storm(1);
    const one = await storm(1);
    expect((await storm(501)) - one).toBeLessThan(500 * 10);
    const [hook] = await held`select dropped::int from public.loom_hooks`;
    expect(hook).toEqual({ dropped: 503 });
  } finally {
    await held`rollback`;
    held.release();
  }
});
