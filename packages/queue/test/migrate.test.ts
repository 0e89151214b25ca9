import type { Database } from "@loom/local-db";
import { migrationScript, OTHER_VERSION } from "@loom/queue";
import { sayHello, databaseTest as test } from "@loom/queue/testing";
import { describe, expect } from "vitest";

// A script with a transaction of its own needs a connection of its own.
async function apply(database: Database, script: string): Promise<void> {
  const connection = await database.sql.reserve();
  try {
    await connection.unsafe(script).simple();
  } catch (error) {
    await connection.unsafe("rollback");
    throw error;
  } finally {
    connection.release();
  }
}

/** Cuts a script at the semicolons outside of quotes, dollar quotes and comments. */
function toStatements(script: string): string[] {
  const token = /--[^\n]*|'(?:[^']|'')*'|(\$\w*\$)[\s\S]*?\1|;|[^;'$-]+|[\s\S]/g;
  const statements = [""];
  for (const [text] of script.matchAll(token)) {
    if (text === ";") statements.push("");
    else statements.push(`${statements.pop()}${text}`);
  }
  return statements.filter((statement) => statement.trim() !== "");
}

describe("migrationScript", () => {
  test("may run again and leaves everything as it is", async ({ queue, database }) => {
    await sayHello(queue, "forge");
    await apply(database, await migrationScript());
    expect(await queue.listNodes()).toMatchObject([{ name: "forge" }]);
  });

  // As the Supabase CLI applies a file: cut into statements, each prepared on its own.
  test("does the same statement by statement", async ({ queue, database }) => {
    await sayHello(queue, "forge");
    await database.sql`drop function public.loom_get_run`;
    const statements = toStatements(await migrationScript());
    const connection = await database.sql.reserve();
    for (const statement of statements) await connection.unsafe(statement, [], { prepare: true });
    connection.release();
    expect(statements.length).toBeGreaterThan(50);
    expect(await queue.listNodes()).toMatchObject([{ name: "forge" }]);
    // Asked of Postgres itself: PostgREST reads the functions anew in its own time.
    const [row] = await database.sql`select public.loom_get_run(gen_random_uuid()) as run`;
    expect(row).toEqual({ run: null });
  });

  test("removes a function that an older version left, and no function of others", async ({
    database,
  }) => {
    await database.sql`create function public.loom_gone(text) returns text language sql return $1`;
    await database.sql`comment on function public.loom_gone is 'Loom'`;
    await database.sql`create function public.loom_lookalike(text) returns text language sql return $1`;
    await database.sql`comment on function public.loom_lookalike is 'of somebody else'`;
    await apply(database, await migrationScript());
    const left = await database.sql`
      select proname from pg_proc where proname in ('loom_gone', 'loom_lookalike')`;
    await database.sql`drop function public.loom_lookalike`;
    expect(left).toEqual([{ proname: "loom_lookalike" }]);
  });

  test("refuses a database with a migration that this version does not know, and leaves it as it was", async ({
    database,
  }) => {
    await database.sql`insert into public.loom_migrations (name) values ('0000_of_before')`;
    await database.sql`drop function public.loom_get_run`;
    await expect(migrationScript().then((script) => apply(database, script))).rejects.toMatchObject(
      {
        code: OTHER_VERSION,
      },
    );
    const functions = await database.sql`select from pg_proc where proname = 'loom_get_run'`;
    expect(functions).toHaveLength(0);
    await database.sql`delete from public.loom_migrations where name = '0000_of_before'`;
    await apply(database, await migrationScript());
  });

  test("adds columns to an existing table of nodes, and removes none", async ({ database }) => {
    await database.sql`create schema elsewhere`;
    await database.sql`create table elsewhere.openclaw_instances (id serial primary key, name text, note text)`;
    await database.sql`insert into elsewhere.openclaw_instances (name, note) values ('forge', 'mine')`;
    const script = (await migrationScript())
      .replaceAll("public.", "elsewhere.")
      .replaceAll("'public'", "'elsewhere'");
    await apply(database, script);
    const rows =
      await database.sql`select name, note, slots, capabilities from elsewhere.openclaw_instances`;
    await database.sql`drop schema elsewhere cascade`;
    expect(rows).toEqual([{ name: "forge", note: "mine", slots: 1, capabilities: [] }]);
  });
});
