import { execFile } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { DatabaseCopy } from "@loom/local-db";
import { type EngineKind, inputOf, LOOPS, RESULT } from "../engine.ts";

const exec = promisify(execFile);

const TABLE = `
  create table raw_job (
    id          bigint generated always as identity primary key,
    state       text not null default 'pending',
    run_at      timestamptz not null default clock_timestamp(),
    payload     text not null,
    result      text,
    claimed_at  timestamptz,
    finished_at timestamptz
  ) with (fillfactor = 80);
  create index on raw_job (run_at, id) where state = 'pending';`;

// pgbench reads a colon before a word as a variable.
const asLiteral = (value: object) => `'${JSON.stringify(value).replaceAll(":", ": ")}'`;

const ADD = (input: object, batch: number) => `
  insert into raw_job (payload)
  select ${asLiteral(input)} from generate_series(1, ${batch});`;

const TAKE = (batch: number) => `
  with due as materialized (
    select id from raw_job where state = 'pending' and run_at <= now()
     order by run_at, id limit ${batch} for update skip locked),
  taken as (
    update raw_job set state = 'running', claimed_at = now() from due where raw_job.id = due.id
    returning raw_job.id, payload)
  select coalesce(array_agg(id), '{}') as ids, sum(length(payload)) as bytes from taken \\gset
  update raw_job set state = 'succeeded', result = ${asLiteral(RESULT)}, finished_at = now()
   where id = any(:ids::bigint[]);`;

/**
 * The upper bound: a plain table and the statements that every queue needs, driven by pgbench, which is
 * written in C and parses nothing. It has no fence, lease, history, retry or dependents.
 */
export const raw: EngineKind = {
  name: "raw SQL, pgbench",
  over: "postgres",

  async open(database, input) {
    const pgbench = findPgbench();
    if (!pgbench) throw new Error("no pgbench: on Debian it is part of postgresql-15");
    await database.sql.unsafe(TABLE);
    const folder = mkdtempSync(join(tmpdir(), "loom-bench-"));
    const measure = async (script: string, clients: number, transactions: number) => {
      const file = join(folder, "script.sql");
      writeFileSync(file, script);
      return await runPgbench(pgbench, database, folder, [
        ...["-f", file, "-c", String(clients), "-j", "1", "-M", "prepared"],
        ...["-t", String(Math.max(1, Math.ceil(transactions / clients)))],
      ]);
    };
    return {
      close: async () => rmSync(folder, { recursive: true }),
      enqueue: (jobs, batch) => measure(ADD(inputOf(0, input), batch), 1, jobs / batch),
      drain: (jobs, batch) => measure(TAKE(batch), LOOPS, jobs / batch),
    };
  },
};

/** Transactions of each connection that are not counted, because they plan what the later ones only execute. */
const COLD = 10;

/**
 * Runs pgbench, which connects anew each time.
 *
 * @returns The seconds that all transactions would have taken with connections that have made some before: from the
 *   log, which has a line for each of them with its connection, its number there and its microseconds.
 */
async function runPgbench(
  pgbench: string,
  { socketDir, name }: DatabaseCopy,
  folder: string,
  args: string[],
): Promise<number> {
  const where = ["-h", socketDir, "-p", "5432", "-U", "postgres"];
  const prefix = join(folder, "log");
  await exec(pgbench, ["-n", ...where, "-l", `--log-prefix=${prefix}`, ...args, name]);
  const lines = readdirSync(folder)
    .filter((file) => file.startsWith("log"))
    .flatMap((file) => {
      const text = readFileSync(join(folder, file), "utf8");
      rmSync(join(folder, file));
      return text.trim().split("\n");
    })
    .map((line) => line.split(" ").map(Number));
  const clients = new Set(lines.map(([client]) => client)).size;
  const each = lines.length / clients;
  const warm = lines.filter(([, at = 0]) => at > Math.min(COLD, each / 2));
  const micros = warm.reduce((sum, [, , took = 0]) => sum + took, 0) / warm.length;
  if (!(micros > 0)) throw new Error("pgbench has logged no transaction");
  return (micros * each) / 1e6;
}

function findPgbench(): string | undefined {
  const debian = "/usr/lib/postgresql";
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const folders = [
    ...(process.env.PATH ?? "").split(":"),
    ...versions.map((version) => join(debian, version, "bin")),
  ];
  return folders.map((folder) => join(folder, "pgbench")).find((file) => existsSync(file));
}
