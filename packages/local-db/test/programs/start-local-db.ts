// Starts a local database in the given folder, prints a line, and runs until it is killed.
import { startLocalDb } from "../../src/index.ts";

const [dataDir = ""] = process.argv.slice(2);
try {
  const db = await startLocalDb({
    dataDir,
    schema: "create table if not exists notes (body text)",
  });
  await db.sql`insert into notes values ('kept')`;
  const [row] = await db.sql<{ notes: number }[]>`select count(*)::int as notes from notes`;
  console.log(
    JSON.stringify({ socketDir: db.socketDir, notes: row?.notes, uid: process.getuid?.() }),
  );
} catch (error) {
  const { code, pid } = error as { code: string; pid?: number };
  console.log(JSON.stringify({ code, pid }));
}
