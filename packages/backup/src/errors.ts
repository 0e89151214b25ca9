/** A backup cannot be made or restored. The message says why, and what remains. */
export class BackupError extends Error {
  override readonly name = "BackupError";
  readonly code = "BACKUP";
}

/**
 * Describes an error in one line. Errors of the system and of Postgres carry a code. An error without one is a fault
 * of this program.
 *
 * @throws The error itself when it has no code.
 */
export function describeCause(error: unknown): string {
  const { message, code, log } = error as Error & { code?: unknown; log?: string };
  if (typeof code !== "string") throw error;
  // On a full disk, initdb fails or Postgres ends.
  if (/ENOSPC|53100|No space left/.test(`${code} ${message} ${log ?? ""}`)) {
    return "there is no space left on the disk";
  }
  return (message || code).split("\n")[0]?.replace(/\.$/, "") ?? code;
}
