import type { Database } from "@loom/local-db";
import { migrationScript } from "@loom/queue";
import { sayHello, databaseTest as test } from "@loom/queue/testing";
import { describe, expect } from "vitest";

// A script with a transaction of its own needs a connection of its own.
async function apply(database: Database, script: string): Promise<void> {
  const connection = await database.sql.reserve();
  await connection.unsafe(script).simple();
  connection.release();
}

describe("migrationScript", () => {
  test("may run again and leaves everything as it is", async ({ queue, database }) => {
    await sayHello(queue, "forge");
    await apply(database, await migrationScript());
    expect(await queue.listNodes()).toMatchObject([{ name: "forge" }]);
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

  test("adds to a table of nodes that is there already, and takes nothing away", async ({
    database,
  }) => {
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
