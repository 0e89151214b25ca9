import { execFile, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
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
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { gunzipSync, gzipSync } from "node:zlib";
import { type Database, startLocalDb } from "@loom/local-db";
import { openQueue } from "@loom/program";
import { migrationScript, type Queue } from "@loom/queue";
import { makePlan } from "@loom/queue/testing";
import { describe, expect, onTestFinished, vi } from "vitest";
import { backup } from "../src/commands/backup.ts";
import { restore } from "../src/commands/restore.ts";
import { claim, runProgram, sayHello, startProgram, test } from "./fixtures.ts";

/** A folder that Postgres can reach, for files and data. */
function makeFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-backup-"));
  chmodSync(folder, 0o755);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The variables of a direct connection to a database of the tests. */
function directly({ name, socketDir }: Database, folder: string) {
  vi.stubEnv("PGHOST", socketDir).stubEnv("PGUSER", "postgres");
  onTestFinished(() => void vi.unstubAllEnvs());
  return { DATABASE_URL: `postgres:///${name}`, LOOM_STATE_DIR: path.join(folder, "state") };
}

/** Runs a command without its output. */
const quietly = async (work: () => Promise<void>) => {
  const print = vi.spyOn(console, "log").mockImplementation(() => {});
  try {
    await work();
  } finally {
    print.mockRestore();
  }
};

/** Opens a restored folder. */
async function open(dataDir: string) {
  const local = await startLocalDb({ dataDir, schema: await migrationScript() });
  onTestFinished(local.stop);
  const queue = openQueue({ url: local.url, key: local.serviceKey });
  return { ...local, queue };
}

/** Starts, claims and settles jobs, two at a time, until it is stopped. */
function makeLoad(queue: Queue, sessions: { node: string; epoch: number }[]) {
  let isOn = true;
  const done = Promise.all(
    sessions.map(async (session, index) => {
      for (let seq = 1; isOn; seq += 1) {
        const run = `${session.node}-${seq}`;
        await queue.startRun(makePlan([{ step: run, host: session.node }], { input: { index } }));
        await queue.startRun(makePlan([{ step: "waits", requires: ["has-gpu"] }]));
        const jobs = await claim(queue, session, seq);
        await queue.settle(
          session.node,
          jobs.map(({ id, fence }) => ({ id, fence, outcome: "succeeded" as const, result: run })),
        );
      }
    }),
  );
  return async () => {
    isOn = false;
    await done;
  };
}

describe("loom-hub backup and restore", () => {
  test("take one moment of a database at work, and bring it back whole", async ({
    queue,
    database,
  }) => {
    const folder = makeFolder();
    const file = path.join(folder, "a.loom");
    const sessions = await Promise.all(["tower", "pi"].map((node) => sayHello(queue, node)));
    const stop = makeLoad(queue, sessions);
    await expect
      .poll(async () => (await queue.listRuns({ limit: 50 })).runs.length)
      .toBeGreaterThan(10);
    const variables = directly(database, folder);
    await quietly(() => backup(file, variables));
    await stop();
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["a.loom"]);

    const dataDir = path.join(folder, "restored");
    await quietly(() => restore(file, { LOOM_DATA_DIR: dataDir }));
    const restored = await open(dataDir);
    expect(await restored.queue.verify()).toEqual([]);
    const [counts] = await restored.sql`
      select (select count(*)::int from loom_runs) as runs, (select max(id)::int from loom_job_queue) as last`;
    const [now] = await database.sql`select count(*)::int as runs from loom_runs`;
    // The backup shows a moment before the load ended.
    expect(counts?.runs).toBeGreaterThan(10);
    expect(counts?.runs).toBeLessThanOrEqual(now?.runs);
    // Its events are read in their order, and new numbers follow the old ones.
    const events = await restored.queue.readEvents({ limit: 10_000 });
    expect(events.events.length).toBeGreaterThan(30);
    const times = events.events.filter(({ type }) => type === "run.started").map(({ at }) => +at);
    expect(times.length).toBe(counts?.runs);
    const [added] = await restored.queue.enqueue([{ workflow: "w", step: "s", input: null }]);
    expect(added?.id).toBeGreaterThan(counts?.last);
    const { id } = await restored.queue.describeDatabase();
    expect(id).toBe((await queue.describeDatabase()).id);
  }, 60_000);

  test("go on after a table whose last row is large", async ({ database }) => {
    const folder = makeFolder();
    // Longer than what a stream holds, and not the last table by its name.
    await database.sql`
      insert into public.loom_code (digest, workflows, source, signed)
      values (${"a".repeat(64)}, '{big}', ${randomBytes(300_000).toString("base64")}, '{}')`;
    const file = path.join(folder, "a.loom");
    await quietly(() => backup(file, directly(database, folder)));
    expect(statSync(file).size).toBeGreaterThan(300_000);
  });

  test("fill an empty database too, and refuse one that has runs", async ({ queue, database }) => {
    const folder = makeFolder();
    const file = path.join(folder, "a.loom");
    const variables = directly(database, folder);
    await quietly(() => backup(file, variables));
    const [job] = await queue.enqueue([{ workflow: "w", step: "after", input: null }]);
    expect(job).toBeDefined();
    await expect(restore(file, variables)).rejects.toThrow(/has runs or jobs: .*Nothing was/);
    expect((await queue.listJobs({ limit: 5 })).jobs).toHaveLength(1);
    await database.sql`delete from loom_jobs`;
    await quietly(() => restore(file, variables));
  });

  test("keep the keys: a hub of a restored folder is the one of before", async () => {
    const folder = makeFolder();
    const dataDir = path.join(folder, "data");
    const settings = { LOOM_STATE_DIR: "", LOOM_NODE_NAME: "oracle", PORT: "0" };
    const file = path.join(folder, "a.loom");
    const hub = await startProgram(["start"], { ...settings, LOOM_DATA_DIR: dataDir });
    await hub.said("listening");
    const made = await runProgram(["backup", file], { ...settings, LOOM_DATA_DIR: dataDir });
    expect(made).toMatchObject({ code: 0, log: expect.stringMatching(/rows of \d+ tables/) });
    expect((await hub.child.stop()).code).toBe(0);
    // Nobody runs it now: it is started for the backup.
    expect((await runProgram(["backup", file], { ...settings, LOOM_DATA_DIR: dataDir })).code).toBe(
      0,
    );

    const LOOM_DATA_DIR = path.join(folder, "other");
    expect((await runProgram(["restore", file], { ...settings, LOOM_DATA_DIR })).code).toBe(0);
    for (const name of ["token", "jwt-secret", "state/machine.json", "state/signing-key"]) {
      const [before, after] = [dataDir, LOOM_DATA_DIR].map((each) => path.join(each, name));
      expect(readFileSync(String(after), "utf8")).toBe(readFileSync(String(before), "utf8"));
      expect(statSync(String(after)).mode & 0o777).toBe(0o600);
    }
    const again = await runProgram(["restore", file], { ...settings, LOOM_DATA_DIR });
    expect(again.code).toBe(1);
    expect(again.log).toContain(`${LOOM_DATA_DIR} is not empty`);
  }, 90_000);

  test("refuse what is no whole backup of this version, in a sentence, and leave nothing", async ({
    database,
  }) => {
    const folder = makeFolder();
    const whole = path.join(folder, "whole.loom");
    await database.sql`insert into loom_paused_workflows (workflow_id, note) values ('w', ${randomBytes(900).toString("hex")})`;
    await quietly(() => backup(whole, directly(database, folder)));
    const bytes = readFileSync(whole);
    const text = gunzipSync(bytes);
    const flipped = Buffer.from(text);
    const at = text.indexOf("tables/loom_paused_workflows") + 512 + 40;
    flipped[at] = (flipped[at] ?? 0) ^ 1;
    const newer = Buffer.from(
      text.toString("latin1").replace('"0001_initial"', '"0001_another"'),
      "latin1",
    );
    const LOOM_DATA_DIR = path.join(folder, "data");
    for (const [name, content, says] of [
      ["cut", bytes.subarray(0, bytes.length / 2), "no complete backup"],
      ["late", gzipSync(text.subarray(0, text.indexOf("manifest.json"))), "no complete backup"],
      ["flipped", gzipSync(flipped), "no complete backup"],
      ["newer", gzipSync(newer), "Another version of Loom"],
      ["text", Buffer.from("not a backup"), "no complete backup"],
    ] as const) {
      const file = path.join(folder, name);
      writeFileSync(file, content);
      const error: Error = await restore(file, { LOOM_DATA_DIR }).then(
        () => new Error("restored"),
        (thrown: Error) => thrown,
      );
      expect(error).toMatchObject({ code: "BACKUP", message: expect.stringContaining(says) });
      expect(error.message).toContain("Nothing was restored.");
      expect(readdirSync(folder).filter((each) => each.startsWith("data"))).toEqual([]);
    }
    await expect(restore(path.join(folder, "none"), { LOOM_DATA_DIR })).rejects.toThrow(
      "cannot be read",
    );
    await expect(backup(whole, { LOOM_DATA_DIR })).rejects.toThrow("There is no database in");
    expect(readFileSync(whole)).toEqual(bytes);
  });

  /** A program on a disk of its own that is soon full, in a namespace for its mounts. */
  const onSmallDisk = async (
    disk: string,
    size: string,
    env: NodeJS.ProcessEnv,
    args: string[],
  ) => {
    const main = fileURLToPath(import.meta.resolve("@loom/hub/main"));
    const script = `mount -t tmpfs -o size=${size},mode=755 tmpfs "$0" && { "$@"; code=$?; ls -A "$0" >&2; exit $code; }`;
    const command = [script, disk, process.execPath, "--conditions=@loom/source", main, ...args];
    return promisify(execFile)("unshare", ["--mount", "sh", "-c", ...command], { env }).then(
      ({ stderr }) => ({ code: 0, stderr }),
      (error: { code: number; stderr: string }) => error,
    );
  };
  const canMount = spawnSync("unshare", ["--mount", "true"]).status === 0;

  test.runIf(canMount)(
    "say that the disk is full, and leave nothing there",
    async ({ database }) => {
      const folder = makeFolder();
      const disk = path.join(folder, "disk");
      mkdirSync(disk);
      await database.sql`insert into loom_paused_workflows (workflow_id, note)
      select 'w' || n, (select string_agg(md5(random()::text || n || m), '') from generate_series(1, 50) as m)
        from generate_series(1, 2000) as n`;
      const direct = directly(database, folder);
      const env = { ...process.env, ...direct };
      const file = path.join(disk, "a.loom");
      const full = await onSmallDisk(disk, "32k", env, ["backup", file]);
      expect(full.code).toBe(1);
      expect(full.stderr).toBe(
        `loom-hub: ${file} cannot be written: there is no space left in ${disk}. Nothing is left of it.\n`,
      );

      const whole = path.join(folder, "whole.loom");
      await quietly(() => backup(whole, directly(database, folder)));
      const target = { ...env, DATABASE_URL: "", LOOM_DATA_DIR: path.join(disk, "data") };
      const half = await onSmallDisk(disk, "30m", target, ["restore", whole]);
      expect(half.code).toBe(1);
      expect(half.stderr).toContain("there is no space left on the disk. Nothing is left of it.\n");
      expect(half.stderr.trim().split("\n")).toHaveLength(1);
      expect(existsSync(path.join(disk, "data"))).toBe(false);
    },
    60_000,
  );
});
