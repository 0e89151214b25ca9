import type { Sql } from "postgres";
import { SchemaError } from "../errors.ts";

// The roles of a Supabase project. Since October 2026 they get no rights on new tables
// automatically, so a schema has to grant them.
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
 * Applies a script to a database that has Supabase's roles, and creates the roles if they are
 * missing.
 *
 * @throws SchemaError when Postgres refuses a statement. Nothing of the script is kept then, unless
 * it has its own transactions.
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
