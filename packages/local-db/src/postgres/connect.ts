import postgres, { type Sql } from "postgres";

/** Not a network port, but a part of the socket's name. */
export const PORT = 5432;

/**
 * Returns a connection string for libpq, with the socket's directory, percent-encoded, as the host.
 */
export function databaseUrl(options: {
  socketDir: string;
  database: string;
  user: string;
}): string {
  const { socketDir, database, user } = options;
  return `postgres://${user}@${encodeURIComponent(socketDir)}:${PORT}/${database}`;
}

/** Connects as the superuser `postgres`. It needs no password behind a private socket. */
export function connect(options: {
  socketDir: string;
  database: string;
  port?: number;
  max?: number;
}): Sql {
  const { socketDir, database, port = PORT, max = 4 } = options;
  return postgres({
    host: socketDir,
    port,
    database,
    username: "postgres",
    max,
    connect_timeout: 10,
    onnotice: () => undefined,
  });
}

/** Opens a connection, runs `work` with it and closes it. */
export async function withConnection<T>(
  options: { socketDir: string; database: string; port?: number },
  work: (sql: Sql) => Promise<T>,
): Promise<T> {
  const sql = connect({ ...options, max: 1 });
  try {
    return await work(sql);
  } finally {
    await sql.end({ timeout: 1 });
  }
}
