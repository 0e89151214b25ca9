import { readFile } from "node:fs/promises";
import type { Database } from "@loom/local-db";
import type { CallsRule, HistoryRule } from "@loom/queue";

const FUNCTIONS = new URL("../../sql/", import.meta.url);

/** A guard taken out of the functions, and the rules that have to notice. */
export interface Mutation {
  title: string;
  /** Exact text of `sql/<file>.sql`, there once, and what stands in its place. */
  edits: readonly { file: string; replace: string; by: string }[];
  /** Walls behind the guard that would stop it first: taken down, so that the checker has to see it. */
  drops?: readonly Wall[];
  caughtBy: readonly (HistoryRule | CallsRule)[];
}

type Wall =
  | "loom_job_blocked"
  | "loom_job_finish"
  | "loom_job_key"
  | "loom_job_result"
  | "loom_runs_key";

const constraint = (name: string) => `alter table public.loom_job_queue drop constraint ${name}`;
const DROP: Readonly<Record<Wall, string>> = {
  loom_job_blocked: constraint("loom_job_blocked"),
  loom_job_finish: constraint("loom_job_finish"),
  loom_job_key: "drop index public.loom_job_key",
  loom_job_result: constraint("loom_job_result"),
  loom_runs_key: "alter table public.loom_runs drop constraint loom_runs_key",
};

/** Replaces the functions of one database by what the mutation makes of them. */
export async function mutate({ sql }: Database, { edits, drops = [] }: Mutation): Promise<void> {
  for (const wall of drops) await sql.unsafe(DROP[wall]);
  for (const [file, of] of Map.groupBy(edits, (edit) => edit.file)) {
    let text = await readFile(new URL(`${file}.sql`, FUNCTIONS), "utf8");
    for (const { replace, by } of of) {
      const places = text.split(replace).length - 1;
      if (places !== 1) throw new Error(`sql/${file}.sql has ${places} times: ${replace}`);
      text = text.replace(replace, () => by);
    }
    await sql.unsafe(text);
  }
}
