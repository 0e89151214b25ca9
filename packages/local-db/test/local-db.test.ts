import { execFileSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createClient } from "@supabase/supabase-js";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import {
  DataDirUnreachableError,
  DataDirVersionError,
  defaultDataDir,
  type LocalDb,
  ProcessStartError,
  type Restart,
  SchemaError,
  startLocalDb,
} from "../src/index.ts";
import { isRoot, nobody } from "../src/process/account.ts";
import { isRunning, signalProcess } from "../src/process/process-group.ts";
import { descendants, isStopped, startProgram } from "./program.ts";

const SCHEMA = `
  create table if not exists notes (body text not null);
  grant select, insert on notes to service_role;
`;

function tempDir(mode = 0o755): string {
  const directory = mkdtempSync(join(tmpdir(), "loom-test-"));
  chmodSync(directory, mode);
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Returns a data folder as an earlier start left it. Copying one takes a tenth of creating one. */
function usedDir(): string {
  const dataDir = tempDir();
  execFileSync("cp", ["-a", `${prepared}/.`, dataDir]);
  return dataDir;
}

let prepared: string;
beforeAll(async () => {
  prepared = mkdtempSync(join(tmpdir(), "loom-test-"));
  chmodSync(prepared, 0o755);
  const db = await startLocalDb({ dataDir: prepared, schema: SCHEMA });
  await db.sql`insert into notes values ('kept')`;
  await db.stop();
});
afterAll(() => rmSync(prepared, { recursive: true }));

async function start(dataDir: string, schema = SCHEMA): Promise<LocalDb> {
  const db = await startLocalDb({ dataDir, schema });
  onTestFinished(() => db.stop());
  return db;
}

const refusalOf = (dataDir: string, schema = SCHEMA) =>
  startLocalDb({ dataDir, schema }).then(
    () => expect.fail("it started"),
    (error: unknown) => error,
  );

const postmasterPid = (dataDir: string) =>
  Number(readFileSync(join(dataDir, "postgres/postmaster.pid"), "utf8").split("\n")[0]);

/** The PostgREST processes that this process has started. */
const postgrests = () =>
  descendants(process.pid).flatMap(({ pid, command }) =>
    /postgrest *$/.test(command) ? [pid] : [],
  );

const until = (check: () => void) => vi.waitFor(check, { timeout: 15_000, interval: 25 });

describe("startLocalDb", () => {
  test("keeps data and keys from one start to the next", async () => {
    const dataDir = join(tempDir(), "deep/down");
    const stages: string[] = [];
    const first = await startLocalDb({
      dataDir,
      schema: SCHEMA,
      onStage: (stage) => stages.push(stage),
    });
    await createClient(first.url, first.serviceKey).from("notes").insert({ body: "kept" });
    await first.stop();
    expect(existsSync(first.socketDir)).toBe(false);
    expect(stages).toEqual(["files", "postgres", "schema", "postgrest"]);
    expect(statSync(join(dataDir, "jwt-secret")).mode & 0o777).toBe(0o600);
    expect(readdirSync(dataDir).sort()).toEqual(["api-port", "jwt-secret", "postgres"]);

    const second = await start(
      dataDir,
      `begin; ${SCHEMA} commit; alter table notes add if not exists at date;`,
    );

    const client = createClient(second.url, first.serviceKey);
    expect(await client.from("notes").select()).toMatchObject({
      data: [{ body: "kept", at: null }],
    });
    expect(await second.sql`show fsync`).toEqual([{ fsync: "on" }]);
  });

  test("ignores the user's PG variables", async () => {
    vi.stubEnv("PGPORT", "1").stubEnv("PGTZ", "Asia/Tokyo");
    onTestFinished(() => {
      vi.unstubAllEnvs();
    });

    const db = await start(usedDir());

    expect(await db.sql`show timezone`).toEqual([{ TimeZone: "UTC" }]);
    expect((await fetch(`${db.url}/rest/v1/`)).status).toBe(200);
  });

  test("refuses a second instance and names the first one's process", async () => {
    const dataDir = usedDir();
    await start(dataDir);

    const { said } = await startProgram("start-local-db", [dataDir]);

    expect(said).toEqual({ code: "DATA_DIR_IN_USE", pid: process.pid });
  });

  test("leaves nothing behind when it is killed, and starts again at once", async () => {
    const dataDir = usedDir();
    const { program, said } = await startProgram("start-local-db", [dataDir]);
    const family = descendants(program.pid as number);
    const commands = family.map(({ command }) => command).join("\n");
    expect(commands).toMatch(/postgres -D/);
    expect(commands).toMatch(/postgrest/);
    expect(commands).toMatch(/loom-reaper/);

    program.kill("SIGKILL");
    const { said: saidAgain } = await startProgram("start-local-db", [dataDir]);

    expect(saidAgain.notes).toBe(3);
    await until(() => expect(family.filter(({ pid }) => isRunning(pid))).toEqual([]));
    await until(() => expect(existsSync(String(said.socketDir))).toBe(false));
  });

  test("takes over from a Postgres that was left running", async () => {
    const dataDir = usedDir();
    const { program, said } = await startProgram("start-local-db", [dataDir]);
    const family = descendants(program.pid as number);
    onTestFinished(() => {
      for (const { pid } of family) signalProcess(pid, "SIGKILL");
      rmSync(String(said.socketDir), { recursive: true });
    });
    // A stopped program cannot replace the reaper before both are gone.
    program.kill("SIGSTOP");
    await until(() => expect(isStopped(program.pid as number)).toBe(true));
    const reaper = family.find(({ command }) => command.includes("loom-reaper"));
    process.kill(reaper?.pid as number, "SIGKILL");
    program.kill("SIGKILL");
    await until(() => expect(isRunning(program.pid as number)).toBe(false));
    const left = postmasterPid(dataDir);
    expect(isRunning(left)).toBe(true);

    const db = await start(dataDir);

    expect(isRunning(left)).toBe(false);
    expect(await db.sql`select body from notes`).toHaveLength(2);
  });

  test("starts despite the lock file of a server that was killed", async () => {
    const dataDir = usedDir();
    const first = await start(dataDir);
    const killed = postmasterPid(dataDir);
    process.kill(killed, "SIGKILL");
    await until(() => expect(isRunning(killed)).toBe(false));
    // Stopped before the next start.
    await first.stop();
    expect(existsSync(join(dataDir, "postgres/postmaster.pid"))).toBe(true);

    const second = await start(dataDir);

    expect(await second.sql`select body from notes`).toEqual([{ body: "kept" }]);
  });

  test("starts despite a lock file whose pid now belongs to another program", async () => {
    const dataDir = usedDir();
    const data = join(dataDir, "postgres");
    const lock = [process.pid, data, 0, 5432, join(dataDir, "gone"), "", "", "ready", ""];
    writeFileSync(join(data, "postmaster.pid"), lock.join("\n"));

    const db = await start(dataDir);

    expect(postmasterPid(dataDir)).not.toBe(process.pid);
    expect(await db.sql`select body from notes`).toEqual([{ body: "kept" }]);
  });

  test.for(["Postgres", "PostgREST"] as const)(
    "restarts %s when it ends unexpectedly, at the same URL, and reports it",
    async (part) => {
      const dataDir = usedDir();
      const before = postgrests();
      const restarts: Restart[] = [];
      const db = await startLocalDb({
        dataDir,
        schema: SCHEMA,
        onRestart: (restart) => restarts.push(restart),
      });
      onTestFinished(() => db.stop());
      const client = createClient(db.url, db.serviceKey);
      const [postgrest] = postgrests().filter((pid) => !before.includes(pid));

      process.kill(part === "Postgres" ? postmasterPid(dataDir) : (postgrest as number), "SIGKILL");

      await vi.waitFor(() => expect(restarts.at(-1)).toEqual({ part, state: "back" }), 30_000);
      expect(restarts[0]).toEqual({ part, state: "ended", reason: "SIGKILL", retryMs: 500 });
      await vi.waitFor(
        async () => expect((await client.from("notes").select()).data).toEqual([{ body: "kept" }]),
        { timeout: 30_000, interval: 100 },
      );
      const count = restarts.length;
      await db.stop();
      expect(restarts).toHaveLength(count);
    },
  );

  test("refuses a folder of another major version", async () => {
    const dataDir = tempDir();
    mkdirSync(join(dataDir, "postgres"));
    writeFileSync(join(dataDir, "postgres/PG_VERSION"), "12\n");

    const error = await refusalOf(dataDir);

    expect(error).toBeInstanceOf(DataDirVersionError);
    expect(error).toMatchObject({ code: "DATA_DIR_VERSION", found: 12 });
  });

  test("reports Postgres's own message when it does not start", async () => {
    const dataDir = usedDir();
    writeFileSync(join(dataDir, "postgres/postgresql.conf"), "no_such_setting = 1\n");

    const error = await refusalOf(dataDir);

    expect(error).toBeInstanceOf(ProcessStartError);
    expect(error).toMatchObject({ part: "postgres", log: /no_such_setting/ });
    expect((error as Error).message).toMatch(/no_such_setting/);
  });

  test("stops everything again when the schema is refused", async () => {
    const dataDir = usedDir();

    const error = await refusalOf(dataDir, "create table oops (");

    expect(error).toBeInstanceOf(SchemaError);
    expect(existsSync(join(dataDir, "postgres/postmaster.pid"))).toBe(false);
  });

  test("leaves nothing of a first start that was interrupted", async () => {
    const dataDir = tempDir();
    const begun = startProgram("start-local-db", [dataDir]);
    await until(() => expect(readdirSync(dataDir).join()).toMatch(/postgres\.new-/));
    const program = descendants(process.pid).find(({ command }) => command.includes(dataDir));

    process.kill(program?.pid as number, "SIGKILL");

    await expect(begun).rejects.toThrow("SIGKILL");
    await until(() => expect(readdirSync(dataDir)).toEqual([]));
  });

  test("removes what a power failure left of a first start", async () => {
    const dataDir = tempDir();
    // No process has this pid, because it is above every system's limit.
    mkdirSync(join(dataDir, "postgres.new-99999999"));

    await start(dataDir);

    expect(readdirSync(dataDir).sort()).toEqual(["api-port", "jwt-secret", "postgres"]);
  });

  test.skipIf(!isRoot())("refuses a folder that only root can enter", async () => {
    const dataDir = join(tempDir(0o700), "data");

    const error = await refusalOf(dataDir);

    expect(error).toBeInstanceOf(DataDirUnreachableError);
    expect(error).toMatchObject({ code: "DATA_DIR_UNREACHABLE", dataDir });
    expect((error as Error).message).toMatch(/as nobody.*LOOM_DATA_DIR/);
  });

  test.skipIf(!isRoot())(
    "runs for an ordinary user, and for root in that user's folder",
    async () => {
      const dataDir = tempDir(0o777);
      const { uid, gid } = nobody();
      // Root's Node may be in a folder that only root can enter.
      const node = join(tempDir(), "node");
      copyFileSync(process.execPath, node);

      const { program, said } = await startProgram("start-local-db", [dataDir], { node, uid, gid });
      expect(said).toMatchObject({ uid, notes: 1 });
      expect(statSync(join(dataDir, "jwt-secret")).uid).toBe(uid);
      program.kill("SIGKILL");

      const other = await startProgram("start-local-db", [dataDir], { node, uid: uid - 1, gid });
      expect(other.said).toEqual({ code: "DATA_DIR_UNREACHABLE" });
      const db = await start(dataDir);
      expect(await db.sql`select body from notes`).toEqual([{ body: "kept" }]);
    },
  );
});

describe("defaultDataDir", () => {
  test("is a folder of the project", () => {
    const project = tempDir();
    expect(defaultDataDir(project)).toBe(join(project, ".loom"));
  });

  test.skipIf(!isRoot())("is a folder of the system for a project only root can enter", () => {
    const project = tempDir(0o700);
    expect(defaultDataDir(project)).toMatch(/^\/var\/lib\/loom\/loom-test-\w+-[0-9a-f]{8}$/);
  });
});
