import { describe, expect, test } from "vitest";
import { readEnv } from "./env.ts";

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
  test("needs an address and a key, and has a default for everything else", () => {
    expect(readEnv(GOOD)).toEqual({
      ...GOOD,
      LOOM_BIND: "127.0.0.1",
      LOOM_HOSTS: [],
      LOOM_TAILNET_SCOPES: {},
      PORT: 3000,
      LOOM_LEASE_MS: 45_000,
      LOG_LEVEL: "info",
    });
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

  test("reads the names of the hub, and refuses what is none", () => {
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
      SUPABASE_SECRET_KEY: "old-key",
      LOOM_TOKEN: "old-token",
    });
    expect(readEnv({ ...GOOD, ...older, LOOM_TOKEN: "new-token" })).toMatchObject({
      SUPABASE_SECRET_KEY: "sb_secret_1",
      LOOM_TOKEN: "new-token",
    });
  });

  test("tells every problem at once, each with its variable", () => {
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

  test.for([
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
