import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { runProgram, startProgram } from "./fixtures.ts";

/** The settings of a hub that brings its database, in a folder of its own that Postgres can reach. */
function settings() {
  const dataDir = mkdtempSync(path.join(tmpdir(), "loom-embedded-"));
  chmodSync(dataDir, 0o755);
  onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
  return { LOOM_DATA_DIR: dataDir, LOOM_STATE_DIR: "", LOOM_NODE_NAME: "oracle", PORT: "0" };
}

describe("loom-hub start without a Supabase project", () => {
  test("brings its database, starts a part of it again, and keeps data, token and address", async () => {
    const env = settings();
    const first = await startProgram(["start"], env);
    const opened = await first.said("database open");
    const { url } = await first.said("listening");
    const file = path.join(env.LOOM_DATA_DIR, "token");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const token = readFileSync(file, "utf8").trim();
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    // It is required on loopback too.
    expect((await fetch(`${url}/api/loom/nodes`)).status).toBe(401);
    const begun = await fetch(`${url}/api/loom/strands/cross-node-smoke/run`, {
      method: "POST",
      headers,
      body: JSON.stringify({ allowUnsatisfiable: true }),
    });
    expect(begun.status).toBe(202);

    const postmaster = path.join(env.LOOM_DATA_DIR, "postgres/postmaster.pid");
    const back = first.said("a part of the database is back");
    process.kill(Number(readFileSync(postmaster, "utf8").split("\n")[0]), "SIGKILL");
    expect(await back).toMatchObject({ part: "Postgres" });
    await expect.poll(async () => (await fetch(`${url}/readyz`)).status).toBe(200);
    expect((await first.child.stop("SIGTERM")).code).toBe(0);
    expect(first.output.join("\n")).not.toContain(token);

    const second = await startProgram(["start"], env);
    // A journal finds its database at the address of before.
    expect(await second.said("database open")).toMatchObject({ url: opened.url });
    const { url: newUrl } = await second.said("listening");
    const runs = await fetch(`${newUrl}/api/loom/runs`, { headers });
    expect(await runs.json()).toMatchObject({ data: [{ workflow: "cross-node-smoke" }] });

    const third = await runProgram(["start"], env);
    expect(third.code).toBe(1);
    expect(third.log).toMatch(/loom-hub: .* is in use by process \d+/);
    expect(third.log).not.toMatch(/\n\s+at /);
  }, 60_000);
});

describe("loom-hub install", () => {
  /** A PATH with a systemctl that writes down its calls, and a Node that is not in npm's cache. */
  function surroundings() {
    const folder = mkdtempSync(path.join(tmpdir(), "loom-install-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const write = (name: string, script: string) =>
      writeFileSync(path.join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    write("node", `exec ${process.execPath} "$@"`);
    write("systemctl", `echo "$@" >> ${folder}/calls; echo ActiveState=active; echo MainPID=7`);
    return {
      folder,
      env: { HOME: folder, PATH: `${folder}:${process.env.PATH}`, LOOM_STATE_DIR: "" },
      calls: () => readFileSync(path.join(folder, "calls"), "utf8").trim().split("\n"),
    };
  }

  test("makes a service of a hub with its own database, whose secrets are in files", async () => {
    const { folder, env, calls } = surroundings();
    const settings = { ...env, LOOM_BIND: "tailnet", LOOM_TOKEN: "5f0c9a7be1", PORT: "8080" };
    const printed = await runProgram(["install", "--user", "--print"], settings);
    expect(printed.log).toContain(`ExecStart=${path.join(folder, "node")} --conditions`);
    expect(printed.log).toContain("RestartPreventExitStatus=78 6");
    expect(printed.log).toContain(`Environment=LOOM_TOKEN_FILE=${folder}/.config/loom-hub/token`);
    expect(existsSync(path.join(folder, ".config"))).toBe(false);

    expect((await runProgram(["install", "--user"], settings)).code).toBe(0);
    const config = path.join(folder, ".config/loom-hub");
    const written = readFileSync(path.join(config, "hub.env"), "utf8");
    expect(written.trim().split("\n").sort()).toEqual(['LOOM_BIND="tailnet"', 'PORT="8080"']);
    expect(readFileSync(path.join(config, "token"), "utf8")).toBe("5f0c9a7be1\n");
    expect(statSync(path.join(config, "token")).mode & 0o777).toBe(0o600);
    const unit = readFileSync(path.join(folder, ".config/systemd/user/loom-hub.service"), "utf8");
    expect(`${unit}`.trim()).toBe(printed.log.trim());

    expect(await runProgram(["status", "--user"], env)).toMatchObject({
      code: 0,
      log: expect.stringContaining("active (), pid 7"),
    });
    expect((await runProgram(["uninstall", "--user"], env)).code).toBe(0);
    expect(await runProgram(["status", "--user"], env)).toMatchObject({
      code: 1,
      log: expect.stringContaining("not installed"),
    });
    expect(calls()).toEqual([
      "--user daemon-reload",
      "--user enable --now loom-hub.service",
      expect.stringContaining("--user show loom-hub.service"),
      "--user disable --now loom-hub.service",
      "--user daemon-reload",
    ]);
  }, 60_000);

  test.for([
    { args: ["install", "--user", "--system"], code: 64, says: "not both" },
    { args: ["status", "--print"], code: 64, says: "it takes no --print" },
    { args: ["install", "--system", "--print"], code: 1, says: "--run-as" },
  ])("says what is wrong with $args", async ({ args, code, says }) => {
    const { env } = surroundings();
    expect(await runProgram(args, env)).toMatchObject({ code, log: expect.stringContaining(says) });
  });

  test("refuses settings with which the hub would not start", async () => {
    const { env } = surroundings();
    const bad = { ...env, SUPABASE_URL: "https://abc.supabase.co" };
    expect(await runProgram(["install", "--user"], bad)).toMatchObject({
      code: 78,
      log: expect.stringContaining("SUPABASE_SECRET_KEY: is not set"),
    });
  });
});
