import { migrationScript } from "@loom/queue";
import postgres from "postgres";
import { MigrationError } from "./errors.ts";

/**
 * Brings a database up to date, in one transaction.
 *
 * @throws MigrationError without the URL, which holds a password.
 */
export async function migrate(databaseUrl: string): Promise<void> {
  const script = await migrationScript();
  try {
    const sql = postgres(databaseUrl, { max: 1, onnotice: () => {} });
    try {
      await sql.unsafe(script).simple();
    } finally {
      await sql.end();
    }
  } catch (error) {
    const { message, code } = error as Error & { code?: string };
    throw new MigrationError(
      `the database at DATABASE_URL could not be brought up to date: ${message || code}`,
    );
  }
}
