import type { Sql } from "postgres";
import { SchemaError } from "./errors.ts";

// The roles of a Supabase project. Since October 2026 a table made in one is granted to none
// of them by itself, so that a schema has to say what it grants, here as there.
const ROLES = `
do $$
declare
  role text;
begin
  foreach role in array array['anon', 'authenticated', 'service_role', 'authenticator'] loop
    if not exists (select from pg_roles where rolname = role) then
      execute format('create role %I noinherit', role);
    end if;
  end loop;
end
$$;
alter role service_role bypassrls;
alter role authenticator login;
grant anon, authenticated, service_role to authenticator;
grant usage on schema public to anon, authenticated, service_role;
`;

/**
 * Applies a script to a database that has Supabase's roles; they are made if they are missing.
 *
 * @throws SchemaError when Postgres refuses a statement of the script; nothing of it is kept then,
 *   unless it has transactions of its own.
 */
export async function applySchema(sql: Sql, schema: string): Promise<void> {
  await sql.unsafe(ROLES).simple();
  try {
    await sql.unsafe(schema).simple();
  } catch (cause) {
    const { message, position } = cause as { message: string; position?: string };
    const line = position ? schema.slice(0, Number(position)).split("\n").length : undefined;
    throw new SchemaError(message, { line, cause });
  }
}
