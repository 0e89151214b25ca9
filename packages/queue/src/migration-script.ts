import { readdir, readFile } from "node:fs/promises";

// The same place seen from src/ and from dist/.
const MIGRATIONS = new URL("../migrations/", import.meta.url);
const FUNCTIONS = new URL("../sql/", import.meta.url);

/**
 * Everything a database needs for Loom, as one script in one transaction: for
 * psql, for Supabase's SQL editor, or for any client that runs several statements.
 *
 * It may run any number of times, also by several hubs at once. Each file of
 * `migrations/` is applied once. All functions are dropped and made again from
 * `sql/`, so none is left over from an older version; callers see either the old
 * ones or the new ones.
 */
export async function migrationScript(): Promise<string> {
  const migrations = await read(MIGRATIONS);
  const functions = await read(FUNCTIONS);
  return [
    "begin;",
    "select pg_advisory_xact_lock(hashtext('loom migrations'));",
    LEDGER,
    ...migrations.map(({ name, text }) => applyOnce(name, text)),
    DROP_FUNCTIONS,
    ...functions.map(({ text }) => text),
    MARK_FUNCTIONS,
    // PostgREST reads the functions' names anew when the transaction is over.
    "notify pgrst, 'reload schema';",
    "commit;",
    "",
  ].join("\n\n");
}

/** The names of all migrations, sorted: what a database has had that is up to date. */
export const migrationNames = async (): Promise<string[]> =>
  (await read(MIGRATIONS)).map(({ name }) => name);

async function read(folder: URL): Promise<{ name: string; text: string }[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".sql")).sort();
  return Promise.all(
    names.map(async (name) => ({
      name: name.replace(/\.sql$/, ""),
      text: await readFile(new URL(name, folder), "utf8"),
    })),
  );
}

const LEDGER = `create table if not exists public.loom_migrations (
  name       text primary key,
  applied_at timestamptz not null default now()
);
alter table public.loom_migrations enable row level security;`;

const applyOnce = (name: string, text: string): string => `do $loom$
begin
  if not exists (select from public.loom_migrations where name = '${name}') then
    execute $migration$${text}$migration$;
    insert into public.loom_migrations (name) values ('${name}');
  end if;
end $loom$;`;

// Ours are told from a user's functions of a similar name by their comment. Types of
// arguments may change from version to version, which "create or replace" cannot do.
const DROP_FUNCTIONS = `do $loom$
declare
  v_function regprocedure;
begin
  for v_function in
    select oid from pg_proc
     where pronamespace = 'public'::regnamespace
       and obj_description(oid, 'pg_proc') = 'Loom'
  loop
    execute format('drop function %s', v_function);
  end loop;
end $loom$;`;

const MARK_FUNCTIONS = `do $loom$
declare
  v_function regprocedure;
begin
  for v_function in
    select oid from pg_proc
     where pronamespace = 'public'::regnamespace and proname ^@ 'loom_'
       and obj_description(oid, 'pg_proc') is null
  loop
    execute format('comment on function %s is %L', v_function, 'Loom');
  end loop;
end $loom$;`;
