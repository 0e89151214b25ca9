import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { type Cluster, openDatabase, SchemaError, startCluster } from "../src/index.ts";

const SCHEMA = `
  create table notes (id integer primary key, body text not null);
  grant select, insert on notes to service_role;
  create policy own_notes on notes for select to authenticated
    using (body = current_setting('request.jwt.claims', true)::json ->> 'owner');
  alter table notes enable row level security;
  grant select on notes to authenticated;
  create function greet(name text) returns text language sql as $$ select 'hello ' || name $$;
  revoke execute on function greet(text) from public;
  grant execute on function greet(text) to service_role;
`;

let cluster: Cluster;
beforeAll(async () => {
  cluster = await startCluster({ schema: SCHEMA });
});
afterAll(() => cluster.stop());

async function open() {
  // The value as a worker process of the test runner gets it.
  const database = await openDatabase(JSON.parse(JSON.stringify(cluster.info)));
  onTestFinished(() => database.stop());
  const as = (key: string) =>
    createClient(database.url, key, { auth: { persistSession: false, autoRefreshToken: false } });
  return { database, as, service: as(database.serviceKey) };
}

describe("openDatabase", () => {
  test("serves supabase-js with the service key", async () => {
    const { service } = await open();

    expect(await service.rpc("greet", { name: "wörld" })).toMatchObject({ data: "hello wörld" });
    expect(await service.from("notes").insert({ id: 1, body: "a" })).toMatchObject({ status: 201 });
    expect(await service.from("notes").select()).toMatchObject({ data: [{ id: 1, body: "a" }] });
  });

  test("refuses the anon key, a foreign signature, an expired key and a role that keys must not have", async () => {
    const { database, as } = await open();
    const { error } = await as(database.anonKey).rpc("greet", { name: "x" });
    expect(error).toMatchObject({ code: "42501" });

    const keys = {
      401: [
        `${database.serviceKey.slice(0, -4)}AAAA`,
        await database.signKey({ role: "service_role", exp: Math.floor(Date.now() / 1000) - 60 }),
      ],
      403: [await database.signKey({ role: "postgres" })],
    };
    for (const [status, refused] of Object.entries(keys)) {
      for (const key of refused) {
        expect((await as(key).rpc("greet", { name: "x" })).status).toBe(Number(status));
      }
    }
  });

  test("shows policies the claims of a key", async () => {
    const { database, as, service } = await open();
    await service.from("notes").insert([
      { id: 1, body: "ada" },
      { id: 2, body: "bob" },
    ]);

    const ada = as(await database.signKey({ role: "authenticated", owner: "ada" }));

    expect(await ada.from("notes").select("id")).toMatchObject({ data: [{ id: 1 }] });
  });

  test("copies the template, and changes to a copy stay in it", async () => {
    const [one, other] = await Promise.all([open(), open()]);

    await one.service.from("notes").insert({ id: 1, body: "one" });

    expect(await other.service.from("notes").select()).toMatchObject({ data: [] });
    expect(await one.database.sql`select body from notes`).toEqual([{ body: "one" }]);
  });

  test("reads the schema again when it is notified", async () => {
    const { database, service } = await open();

    await database.sql.unsafe(`
      create function later() returns integer language sql as 'select 1';
      notify pgrst, 'reload schema';
    `);

    await vi.waitFor(async () => expect((await service.rpc("later")).data).toBe(1), 5_000);
  });

  test("gives a URL for other clients of Postgres", async () => {
    const { database } = await open();
    const sql = postgres(database.databaseUrl, { host: database.socketDir });
    onTestFinished(() => sql.end());

    expect(await sql`select current_user, current_database()`).toEqual([
      { current_user: "postgres", current_database: database.name },
    ]);
  });

  test("keeps its URL when PostgREST is restarted", async () => {
    const { database, service } = await open();

    await database.restartPostgrest();

    expect(await service.rpc("greet", { name: "again" })).toMatchObject({ data: "hello again" });
  });

  test("drops the database when it is stopped", async () => {
    const { database } = await open();
    const { database: witness } = await open();

    await database.stop();

    const found = await witness.sql`select from pg_database where datname = ${database.name}`;
    expect(found).toHaveLength(0);
    await expect(fetch(database.url)).rejects.toThrow();
  });
});

describe("startCluster", () => {
  test("recovers what was committed before Postgres crashed", async () => {
    const own = await startCluster({ schema: SCHEMA });
    onTestFinished(() => own.stop());
    const database = await openDatabase(own.info);
    onTestFinished(() => database.stop());
    const client = createClient(database.url, database.serviceKey);
    await database.sql`insert into notes values (1, 'kept')`;

    await own.restartPostgres({ mode: "immediate" });

    expect(await database.sql`select body from notes`).toEqual([{ body: "kept" }]);
    // PostgREST finds out by itself that its connections are gone.
    await vi.waitFor(
      async () => expect((await client.from("notes").select()).data).toHaveLength(1),
      { timeout: 10_000, interval: 100 },
    );
  });

  test("names the line of the schema that Postgres refuses", async () => {
    const starting = startCluster({ schema: "select 1;\n\nselect *\n  from missing;\n" });

    const error = await starting.catch((reason) => reason);
    expect(error).toBeInstanceOf(SchemaError);
    expect(error).toMatchObject({
      code: "SCHEMA",
      line: 4,
      message: 'the schema, line 4: relation "missing" does not exist',
    });
  });
});
