import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { readEnv, withSecretFiles } from "./env.ts";

const GOOD = { SUPABASE_URL: "https://abc.supabase.co", SUPABASE_SECRET_KEY: "sb_secret_1" };

/** The lines of the error that these variables cause, without its first. */
function problemsOf(variables: Record<string, string>): string[] {
  try {
    readEnv(variables);
  } catch (error) {
    expect(error).toMatchObject({ name: "EnvError", code: "ENV" });
    return (error as Error).message.split("\n").slice(1);
  }
  return [];
}

describe("readEnv", () => {
  test("has a default for everything but a Supabase project", () => {
    expect(readEnv(GOOD)).toEqual({
      supabase: { url: GOOD.SUPABASE_URL, key: GOOD.SUPABASE_SECRET_KEY },
      LOOM_BIND: ["127.0.0.1"],
      LOOM_RETENTION: 30,
      LOOM_FILES_S3_REGION: "us-east-1",
      LOOM_HOSTS: [],
      LOOM_TAILNET_JOIN: [],
      LOOM_TAILNET_SCOPES: {},
      PORT: 3000,
      LOOM_CAPABILITIES: [],
      LOOM_SLOTS: 4,
      LOOM_EXEC: { kind: "off" },
      LOOM_EXEC_ON_HUB: false,
      LOOM_LEASE_MS: 45_000,
      LOG_LEVEL: "info",
    });
  });

  test("uses the embedded database where neither an address nor a key is set", () => {
    expect(readEnv({ SUPABASE_URL: " " }).supabase).toBeUndefined();
    expect(problemsOf({ SUPABASE_URL: GOOD.SUPABASE_URL })).toEqual([
      expect.stringContaining("SUPABASE_SECRET_KEY: is not set, but SUPABASE_URL is"),
    ]);
    expect(problemsOf({ SUPABASE_SERVICE_ROLE_KEY: "key" })).toEqual([
      expect.stringContaining("SUPABASE_URL: is not set, but a key is"),
    ]);
    // A token is made and kept in its folder.
    expect(readEnv({ LOOM_BIND: "0.0.0.0" }).LOOM_TOKEN).toBeUndefined();
    expect(problemsOf({ LOOM_BIND: "0.0.0.0", LOOM_TOKEN: "changeme" })).toHaveLength(1);
  });

  test("takes a direct connection of a project, and none through its transaction pooler", () => {
    const url = "postgres://postgres:hunter2@db.abc.supabase.co:5432/postgres";
    expect(readEnv({ ...GOOD, DATABASE_URL: url }).DATABASE_URL).toBe(url);
    expect(readEnv({ DATABASE_URL: url })).toMatchObject({ supabase: undefined });
    expect(readEnv({ DATABASE_URL: url }).DATABASE_URL).toBeUndefined();
    for (const [wrong, says] of [
      [url.replace("5432", "6543"), "DATABASE_URL: names the transaction pooler"],
      ["https://abc.supabase.co", "DATABASE_URL: is not an address such as postgres://"],
      ["hunter2@host", "DATABASE_URL: is not an address such as postgres://"],
    ] as const) {
      const problems = problemsOf({ ...GOOD, DATABASE_URL: wrong });
      expect(problems).toEqual([expect.stringContaining(says)]);
      expect(problems.join()).not.toContain("hunter2");
    }
  });

  test.for([
    { bind: "tailnet", addresses: ["127.0.0.1", "tailnet"] },
    { bind: "::1, tailnet", addresses: ["::1", "tailnet"] },
    { bind: "192.168.1.2, 127.0.0.1,", addresses: ["192.168.1.2", "127.0.0.1"] },
  ])("listens on $addresses for $bind, with a token", ({ bind, addresses }) => {
    expect(readEnv({ ...GOOD, LOOM_BIND: bind, LOOM_TOKEN: "5f0c9a7be1" }).LOOM_BIND).toEqual(
      addresses,
    );
    expect(problemsOf({ ...GOOD, LOOM_BIND: bind })).toEqual([
      expect.stringContaining("LOOM_TOKEN: is not set"),
    ]);
  });

  test("reads secrets from files, and from the credentials of a service", () => {
    const folder = mkdtempSync(path.join(tmpdir(), "loom-env-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    writeFileSync(path.join(folder, "token"), "a-token\n");
    writeFileSync(path.join(folder, "key"), "a-key\n");
    const variables = {
      CREDENTIALS_DIRECTORY: folder,
      SUPABASE_SECRET_KEY_FILE: path.join(folder, "key"),
    };
    expect(withSecretFiles(variables)).toMatchObject({
      LOOM_TOKEN: "a-token",
      SUPABASE_SECRET_KEY: "a-key",
    });
    expect(withSecretFiles({ ...variables, LOOM_TOKEN: "given" })).toMatchObject({
      LOOM_TOKEN: "given",
    });
    expect(() => withSecretFiles({ LOOM_TOKEN_FILE: "/nowhere" })).toThrow("LOOM_TOKEN_FILE");
  });

  test("takes a blank variable for one that is not set", () => {
    const blank = {
      PORT: "",
      LOOM_BIND: " ",
      LOOM_TOKEN: "",
      LOOM_NODE_NAME: "",
      LOOM_WORKFLOWS_DIR: "",
      LOOM_LEASE_MS: " ",
      LOG_LEVEL: "",
    };
    expect(readEnv({ ...GOOD, ...blank })).toEqual(readEnv(GOOD));
  });

  test("reads whose machines join without a token", () => {
    expect(readEnv({ ...GOOD, LOOM_TAILNET_JOIN: "ada@example.org tag:loom-agent" })).toMatchObject(
      {
        LOOM_TAILNET_JOIN: ["ada@example.org", "tag:loom-agent"],
      },
    );
    expect(() => readEnv({ ...GOOD, LOOM_TAILNET_JOIN: "tag:loom agent=run" })).toThrow(
      /LOOM_TAILNET_JOIN: is a list of logins and tags/,
    );
  });

  test("takes only the name of a node for the default host", () => {
    expect(readEnv({ ...GOOD, LOOM_DEFAULT_HOST: "pop-os" })).toMatchObject({
      LOOM_DEFAULT_HOST: "pop-os",
    });
    expect(problemsOf({ ...GOOD, LOOM_DEFAULT_HOST: "Pop OS" })).toHaveLength(1);
  });

  test("trims what it takes", () => {
    expect(readEnv({ ...GOOD, PORT: " 8080 ", LOOM_TOKEN: " abc\n" })).toMatchObject({
      PORT: 8080,
      LOOM_TOKEN: "abc",
    });
  });

  test("reads the names of the hub, and refuses invalid ones", () => {
    const LOOM_HOSTS = "hub.example, oracle.bison-teal.ts.net,";
    expect(readEnv({ ...GOOD, LOOM_HOSTS })).toMatchObject({
      LOOM_HOSTS: ["hub.example", "oracle.bison-teal.ts.net"],
    });
    expect(problemsOf({ ...GOOD, LOOM_HOSTS: "http://hub.example:3000" })).toEqual([
      expect.stringContaining("LOOM_HOSTS: is a list of host names"),
    ]);
  });

  test("reads whom of the tailnet to let in", () => {
    const LOOM_TAILNET_SCOPES = "ada@example.org=read,run  tag:ci=run";
    expect(readEnv({ ...GOOD, LOOM_TAILNET_SCOPES })).toMatchObject({
      LOOM_TAILNET_SCOPES: { "ada@example.org": ["read", "run"], "tag:ci": ["run"] },
    });
    for (const bad of ["ada@example.org", "ada=root", "=read", "ada=read,", "ada=read;bo=run"]) {
      expect(problemsOf({ ...GOOD, LOOM_TAILNET_SCOPES: bad })).toEqual([
        expect.stringContaining("LOOM_TAILNET_SCOPES: is a list of logins and tags"),
      ]);
    }
  });

  test("takes the older names, after the newer ones", () => {
    const older = { SUPABASE_SERVICE_ROLE_KEY: "old-key", OPTIMALOS_TOKEN: "old-token" };
    expect(readEnv({ SUPABASE_URL: GOOD.SUPABASE_URL, ...older })).toMatchObject({
      supabase: { key: "old-key" },
      LOOM_TOKEN: "old-token",
    });
    expect(readEnv({ ...GOOD, ...older, LOOM_TOKEN: "new-token" })).toMatchObject({
      supabase: { key: "sb_secret_1" },
      LOOM_TOKEN: "new-token",
    });
  });

  test("lists every problem at once, each with its variable", () => {
    const problems = problemsOf({
      SUPABASE_URL: "postgres://db",
      PORT: "70000",
      LOOM_BIND: "0.0.0.0",
      LOOM_NODE_NAME: "My Node",
      LOOM_LEASE_MS: "soon",
      LOG_LEVEL: "loud",
    });
    expect(problems.map((line) => line.split(":")[0]?.trim())).toEqual([
      "SUPABASE_URL",
      "SUPABASE_SECRET_KEY",
      "PORT",
      "LOOM_TOKEN",
      "LOOM_NODE_NAME",
      "LOOM_LEASE_MS",
      "LOG_LEVEL",
    ]);
  });

  // A message says what to do, in our words: nothing of the validator's.
  test.for([
    { SUPABASE_URL: "abc", SUPABASE_SECRET_KEY: "" },
    { PORT: "NaN", LOOM_LEASE_MS: "1e4", LOOM_SLOTS: "0x10" },
    { LOOM_BIND: "0.0.0.0", LOOM_TOKEN: "" },
    { LOOM_TOKEN: "two words" },
    { LOOM_HOSTS: "http://hub", LOOM_TAILNET_CAPABILITY: "cap", LOOM_TAILNET_SCOPES: "ada" },
    { LOOM_NODE_NAME: "My Node", LOOM_DEFAULT_HOST: "My Node", LOOM_WAKE: "x" },
    { LOOM_CAPABILITIES: "has gpu", LOOM_STATE_DIR: "state", LOG_LEVEL: "loud" },
  ])("reports %j in plain words", (variables) => {
    const problems = problemsOf({ ...GOOD, ...variables });
    expect(problems.length).toBeGreaterThan(0);
    for (const problem of problems) {
      expect(problem).not.toMatch(
        /expected|received|invalid|NaN|too (small|big|short)|regex|pattern/i,
      );
    }
  });

  test.for([
    { PORT: "0x50" },
    { PORT: "1e3" },
    { LOOM_SLOTS: "0" },
    { LOOM_RETENTION: "0" },
    { LOOM_CAPABILITIES: "loom-hub" },
    { PORT: "-1" },
    { PORT: "1.5" },
    { PORT: "http" },
    { LOOM_LEASE_MS: "2999" },
    { LOOM_LEASE_MS: "3600001" },
    { LOOM_NODE_NAME: "-a" },
    { LOOM_NODE_NAME: "a".repeat(64) },
    { SUPABASE_URL: "abc.supabase.co" },
    { LOOM_TOKEN: "two words" },
    { LOOM_TOKEN: "clé" },
  ])("refuses %j", (variables) => {
    expect(problemsOf({ ...GOOD, ...variables })).toEqual([
      expect.stringContaining(`  ${Object.keys(variables)[0]}: `),
    ]);
  });

  describe("when other machines can reach the hub", () => {
    test.for(["0.0.0.0", "::", "192.168.1.2", "100.64.0.7", "hub.example", "127.0.0.1.example"])(
      "needs a token on %s",
      (LOOM_BIND) => {
        expect(problemsOf({ ...GOOD, LOOM_BIND })).toEqual([
          expect.stringContaining("LOOM_TOKEN: is not set"),
        ]);
        expect(readEnv({ ...GOOD, LOOM_BIND, LOOM_TOKEN: "5f0c9a7be1" }).LOOM_TOKEN).toBe(
          "5f0c9a7be1",
        );
      },
    );

    test.for([
      "changeme",
      "Change-Me",
      "CHANGE_ME",
      "secret",
      "token",
      "your-token-here",
      "<your-token>",
      "xxxxxxxx",
      "0",
    ])("refuses the placeholder %s, without printing it", (LOOM_TOKEN) => {
      const problems = problemsOf({ ...GOOD, LOOM_BIND: "0.0.0.0", LOOM_TOKEN });
      expect(problems).toEqual([expect.stringContaining("LOOM_TOKEN: is a placeholder")]);
    });
  });

  test.for(["127.0.0.1", "127.0.0.2", "::1", "localhost"])(
    "takes any token, or none, on %s",
    (LOOM_BIND) => {
      expect(readEnv({ ...GOOD, LOOM_BIND }).LOOM_TOKEN).toBeUndefined();
      expect(readEnv({ ...GOOD, LOOM_BIND, LOOM_TOKEN: "test" }).LOOM_TOKEN).toBe("test");
    },
  );
});

describe("the bucket for files", () => {
  const BUCKET = { LOOM_FILES_S3: "https://s3.example.org/loom-files", LOOM_FILES_S3_KEY_ID: "id" };

  test("is an address with a name, and a key with its secret", () => {
    expect(readEnv({ ...BUCKET, LOOM_FILES_S3_SECRET: "s" })).toMatchObject({
      ...BUCKET,
      LOOM_FILES_S3_SECRET: "s",
    });
    expect(() => readEnv(BUCKET)).toThrow(/LOOM_FILES_S3_SECRET: is not set/);
    for (const LOOM_FILES_S3 of ["s3.example.org/x", "https://s3.example.org/", "s3://bucket"]) {
      expect(() => readEnv({ ...BUCKET, LOOM_FILES_S3, LOOM_FILES_S3_SECRET: "s" })).toThrow(
        /LOOM_FILES_S3: is not the address of a bucket/,
      );
    }
  });
});
