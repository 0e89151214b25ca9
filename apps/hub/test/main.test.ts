import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { openDatabase } from "@loom/local-db";
import { migrationScript } from "@loom/queue";
import { requireWorkerCluster } from "@loom/queue/testing";
import { describe, expect, onTestFinished } from "vitest";
import { runProgram, startProgram, TOKEN, test } from "./fixtures.ts";

/** The settings of a hub that can start: on loopback, on any free port. */
const settings = ({ url, serviceKey }: { url: string; serviceKey: string }) => ({
  SUPABASE_URL: url,
  SUPABASE_SECRET_KEY: serviceKey,
  LOOM_TOKEN: TOKEN,
  LOOM_NODE_NAME: "oracle",
  PORT: "0",
});

const STACK = /\n\s+at /;

describe("loom-hub", () => {
  test("explains its usage", async () => {
    const exit = await runProgram(["--help"]);
    expect(exit.code).toBe(0);
    expect(exit.log).toContain("usage: loom-hub [command]");
  });

  test.for([[["serve"]], [["start", "now"]], [["--port"]]])(
    "does not take %j for a command",
    async ([args = []]) => {
      const exit = await runProgram(args);
      expect(exit.code).toBe(64);
      expect(exit.log).toContain(`no command "${args.join(" ")}"`);
    },
  );

  test("lists every problem of its environment, with exit code 78", async () => {
    const exit = await runProgram([], {
      SUPABASE_URL: "abc",
      LOOM_BIND: "0.0.0.0",
      LOOM_TOKEN: "changeme",
      PORT: "x",
    });
    expect(exit.code).toBe(78);
    for (const name of ["SUPABASE_URL", "SUPABASE_SECRET_KEY", "LOOM_TOKEN", "PORT"]) {
      expect(exit.log).toContain(`  ${name}: `);
    }
    expect(exit.log).not.toMatch(STACK);
  });

  test("refuses a workflow folder that is not there, with exit code 78", async ({ database }) => {
    const exit = await runProgram([], { ...settings(database), LOOM_WORKFLOWS_DIR: "/nowhere" });
    expect(exit.code).toBe(78);
    expect(exit.log).toContain("LOOM_WORKFLOWS_DIR");
    expect(exit.log).not.toMatch(STACK);
  });

  test("says which port is in use, without a stack", async ({ database }) => {
    const taken = createServer().listen(0, "127.0.0.1");
    onTestFinished(() => void taken.close());
    await once(taken, "listening");
    const address = taken.address();
    const PORT = String(typeof address === "object" ? address?.port : address);
    const exit = await runProgram(["start"], { ...settings(database), PORT });
    expect(exit.code).toBe(1);
    expect(exit.log).toContain(`port ${PORT} of 127.0.0.1: it is in use; set PORT`);
    expect(exit.log).not.toMatch(STACK);
  });

  test("serves until SIGTERM, and logs no secret", async ({ database }) => {
    const hub = await startProgram([], settings(database));
    const { url } = await hub.said("listening");
    expect((await fetch(`${url}/api/loom/nodes`)).status).toBe(401);
    const answer = await fetch(`${url}/api/loom/strands/cross-node-smoke/run`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
      // Its second step is for another machine.
      body: JSON.stringify({ allowUnsatisfiable: true }),
    });
    expect(answer.status).toBe(202);
    expect((await hub.child.stop("SIGTERM")).code).toBe(0);
    expect(hub.output.join("\n")).toContain('"msg":"stopped"');
    for (const secret of [TOKEN, database.serviceKey]) {
      expect(hub.output.join("\n")).not.toContain(secret);
    }
  });

  test("without a token serves this machine only, and says so", async ({ database }) => {
    const hub = await startProgram([], { ...settings(database), LOOM_TOKEN: "" });
    const { url } = await hub.said("listening");
    expect(hub.output.join("\n")).toContain("LOOM_TOKEN is not set");
    expect((await fetch(`${url}/api/loom/nodes`)).status).toBe(200);
    const origin = "http://loom.example";
    expect((await fetch(`${url}/api/loom/nodes`, { headers: { origin } })).status).toBe(403);
  });

  test("ends when the database refuses its key, saying so without a stack", async ({
    database,
  }) => {
    const exit = await runProgram([], {
      ...settings(database),
      SUPABASE_SECRET_KEY: database.anonKey,
    });
    expect(exit.code).toBe(1);
    expect(exit.log).toMatch(/loom-hub: .*the database refused the key.*SUPABASE_SECRET_KEY/);
    expect(exit.log).not.toContain(database.anonKey);
    expect(exit.log).not.toMatch(STACK);
  });

  test("goes on while the database is away, and says so without a stack", async () => {
    // A port that was free a moment ago: nobody answers there.
    const gone = createServer().listen(0, "127.0.0.1");
    await once(gone, "listening");
    const address = gone.address();
    gone.close();
    await once(gone, "close");
    const port = typeof address === "object" ? address?.port : address;
    const hub = await startProgram(
      [],
      settings({ url: `http://127.0.0.1:${port}`, serviceKey: "key" }),
    );
    const listening = hub.said("listening");
    const away = hub.said("the database did not answer");
    const { url } = await listening;
    expect(await away).toMatchObject({ err: { code: "QUEUE_UNAVAILABLE", reason: "network" } });
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    expect((await hub.child.stop("SIGTERM")).code).toBe(0);
    expect(hub.output.join("\n")).not.toContain('"stack"');
  });
});

describe("loom-hub sql", () => {
  test("ends without a word when its reader has enough", () => {
    const main = fileURLToPath(import.meta.resolve("@loom/hub/main"));
    const program = `"${process.execPath}" --conditions=@loom/source "${main}"`;
    const { stdout, stderr } = spawnSync("/bin/sh", ["-c", `${program} sql | head -n 1`], {
      encoding: "utf8",
    });
    expect({ stdout, stderr }).toEqual({ stdout: "begin;\n", stderr: "" });
  });

  test("prints the migrations", async () => {
    const hub = await startProgram(["sql"]);
    expect((await hub.child.exited).code).toBe(0);
    expect(hub.output.join("\n").trim()).toBe((await migrationScript()).trim());
  });

  test("creates a folder for own workflows once, and says how to go on", async () => {
    const folder = path.join(mkdtempSync(path.join(tmpdir(), "loom-hub-")), "own");
    onTestFinished(() => rmSync(path.dirname(folder), { recursive: true }));
    expect(await runProgram(["init", folder], {})).toMatchObject({
      code: 0,
      log: expect.stringContaining(`LOOM_WORKFLOWS_DIR=${folder} npm start`),
    });
    const again = await runProgram(["init", folder], {});
    expect(again).toMatchObject({
      code: 1,
      log: expect.stringContaining(`${folder} is not empty`),
    });
    expect(again.log).not.toMatch(STACK);
  });
});

describe("loom-hub migrate", () => {
  test("makes an empty project usable, which start says when it is not", async () => {
    await using database = await openDatabase(requireWorkerCluster());
    await database.sql.unsafe("drop schema public cascade; create schema public");
    await database.sql`grant usage on schema public to service_role`;
    await database.restartPostgrest();
    const before = await runProgram([], settings(database));
    expect(before.code).toBe(1);
    expect(before.log).toMatch(/loom-hub: .*Apply the migrations \(loom-hub migrate\)/);
    expect(before.log).not.toMatch(STACK);

    const direct = {
      DATABASE_URL: `postgres:///${database.name}`,
      PGHOST: database.socketDir,
      PGUSER: "postgres",
    };
    for (const _ of ["once", "again"]) {
      expect(await runProgram(["migrate"], direct)).toMatchObject({
        code: 0,
        log: "the database is up to date",
      });
    }
    await database.restartPostgrest();
    const hub = await startProgram([], settings(database));
    const { url } = await hub.said("listening");
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status).toBe(200);
    await hub.child.stop();
  });

  test.for([
    { title: "no URL", url: "", code: 78, says: "needs DATABASE_URL" },
    { title: "what is no URL", url: "hunter2@host", code: 1, says: "DATABASE_URL" },
    {
      title: "a server that is not there",
      url: "postgres://u:hunter2@127.0.0.1:1/db",
      code: 1,
      says: "ECONNREFUSED",
    },
    { title: "a broken URL", url: "postgres://u:hunter2@[::1/db", code: 1, says: "DATABASE_URL" },
  ])("refuses $title, and prints no password", async ({ url, code, says }) => {
    const exit = await runProgram(["migrate"], { DATABASE_URL: url });
    expect(exit.code).toBe(code);
    expect(exit.log).toContain(says);
    expect(exit.log).not.toContain("hunter2");
    expect(exit.log).not.toMatch(STACK);
  });
});
