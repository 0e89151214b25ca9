import { migrationScript } from "@loom/queue";
import postgres from "postgres";

/**
 * Brings a database up to date, in one transaction.
 *
 * @throws MigrationError, whose message does not contain the URL, because that holds a password.
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

/** The database at `DATABASE_URL` could not be brought up to date, and is unchanged. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";
  readonly code = "MIGRATION";
}
