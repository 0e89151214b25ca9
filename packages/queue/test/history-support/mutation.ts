import type { DatabaseCopy } from "@loom/local-db";
import type { CallsRule, HistoryRule } from "@loom/queue/verify";
import { sqlFunctions } from "../sql-functions.ts";

/** A guard taken out of the functions, and the rules that have to notice. */
export interface Mutation {
  title: string;
  /** Exact text of the function `loom_<name>`, there once, and what stands in its place. */
  edits: readonly { name: string; replace: string; by: string }[];
  /** Walls behind the guard that would stop it first: taken down, so that the checker has to see it. */
  drops?: readonly Wall[];
  caughtBy: readonly (HistoryRule | CallsRule)[];
  /** What `verify` says of the rows, where events and calls do not tell. */
  rows?: RegExp;
}

type Wall = "loom_delivery_once" | "loom_job_item" | "loom_job_key" | "loom_runs_key";

const DROP: Readonly<Record<Wall, string>> = {
  loom_delivery_once: "alter table public.loom_hook_deliveries drop constraint loom_delivery_once",
  // What looks for items needs an index.
  loom_job_item:
    "drop index public.loom_job_item; create index on public.loom_jobs (item_of, item_index) where item_of is not null",
  loom_job_key: "drop index public.loom_job_key",
  loom_runs_key: "alter table public.loom_runs drop constraint loom_runs_key",
};

/** Replaces the functions of one database by what the mutation makes of them. */
export async function mutate(
  { sql }: DatabaseCopy,
  { edits, drops = [] }: Mutation,
): Promise<void> {
  for (const wall of drops) await sql.unsafe(DROP[wall]);
  for (const [name, of] of Map.groupBy(edits, (edit) => edit.name)) {
    let text = sqlFunctions.find((source) => source.name === `loom_${name}`)?.text ?? "";
    for (const { replace, by } of of) {
      const places = text.split(replace).length - 1;
      if (places !== 1) throw new Error(`loom_${name} has ${places} times: ${replace}`);
      text = text.replace(replace, () => by);
    }
    await sql.unsafe(text);
  }
}
