import { describe, expect, test } from "vitest";
import { readEnv } from "./env.ts";

const SUPABASE_URL = "https://abc.supabase.co";
const KEY = `loomn_${"k".repeat(43)}`;
const GOOD = { SUPABASE_URL, LOOM_NODE_KEY: KEY, SUPABASE_PUBLISHABLE_KEY: "publishable" };

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
      SUPABASE_URL,
      database: { url: SUPABASE_URL, key: "publishable", nodeKey: KEY },
      LOOM_CAPABILITIES: [],
      LOOM_PROBE_BINARIES: [],
      LOOM_PROBE_CREDENTIALS: [],
      LOOM_SLOTS: 1,
      LOOM_PREFETCH: 0,
      LOOM_EXEC: { kind: "off" },
      LOOM_EXEC_ON_HUB: false,
      LOOM_LEASE_MS: 45_000,
      LOOM_GRACE_MS: 20_000,
      POLL_INTERVAL_MS: 5_000,
      LOOM_UPGRADE: "asked",
      LOOM_UPGRADE_DRAIN_MS: 86_400_000,
      LOG_LEVEL: "info",
    });
  });

  test("takes a blank variable for one that is not set", () => {
    const blank = { LOOM_SLOTS: "", LOOM_GRACE_MS: " ", LOOM_NODE_NAME: "", LOOM_CAPABILITIES: "" };
    expect(readEnv({ ...GOOD, ...blank })).toEqual(readEnv(GOOD));
  });

  test("takes the service key where the node has none of its own", () => {
    const SUPABASE_SERVICE_ROLE_KEY = "service-key";
    expect(readEnv({ SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY }).database).toEqual({
      url: SUPABASE_URL,
      key: "service-key",
      nodeKey: undefined,
    });
    expect(readEnv({ ...GOOD, SUPABASE_SERVICE_ROLE_KEY })).toEqual(readEnv(GOOD));
  });

  test.for([
    { list: "has-gpu", capabilities: ["has-gpu"] },
    { list: " has-gpu , gpu.vram-gb=24,, ", capabilities: ["has-gpu", "gpu.vram-gb=24"] },
    { list: ",", capabilities: [] },
    { list: "gpu.model=RTX 4090, docker", capabilities: ["gpu.model=RTX 4090", "docker"] },
    {
      list: 'gpu.model="RTX 4090",rack="a, left"',
      capabilities: ["gpu.model=RTX 4090", "rack=a, left"],
    },
  ])("reads the capabilities $list", ({ list, capabilities }) => {
    expect(readEnv({ ...GOOD, LOOM_CAPABILITIES: list }).LOOM_CAPABILITIES).toEqual(capabilities);
  });

  test("reads where the wake server is, and what to look for", () => {
    const env = readEnv({
      ...GOOD,
      LOOM_WAKE: "100.64.0.7:7421",
      LOOM_PROBE_BINARIES: "ffmpeg, git",
      LOOM_PROBE_CREDENTIALS: "returnpro=RETURNPRO_USER+/etc/returnpro.key",
    });
    expect(env).toMatchObject({
      LOOM_WAKE: { address: "100.64.0.7", port: 7_421 },
      LOOM_PROBE_BINARIES: ["ffmpeg", "git"],
      LOOM_PROBE_CREDENTIALS: [
        { name: "returnpro", needs: ["RETURNPRO_USER", "/etc/returnpro.key"] },
      ],
    });
  });

  test("lists every problem at once, each with its variable", () => {
    const problems = problemsOf({
      SUPABASE_URL: "postgres://db",
      LOOM_NODE_NAME: "My Node",
      LOOM_CAPABILITIES: "has gpu",
      LOOM_SLOTS: "none",
      LOG_LEVEL: "loud",
    });
    expect(problems.map((line) => line.split(":")[0]?.trim())).toEqual([
      "SUPABASE_URL",
      "LOOM_NODE_NAME",
      "LOOM_CAPABILITIES",
      "LOOM_SLOTS",
      "LOG_LEVEL",
      "LOOM_NODE_KEY",
    ]);
  });

  // A message says what to do, in our words: nothing of the validator's.
  test.for([
    { SUPABASE_URL: "abc", LOOM_NODE_KEY: "eyJhbGciOi", LOOM_NODE_NAME: "My Node" },
    { SUPABASE_PUBLISHABLE_KEY: "" },
    { SUPABASE_PUBLISHABLE_KEY: "", LOOM_NODE_KEY: "service-key" },
    { LOOM_SLOTS: "NaN", LOOM_LEASE_MS: "1e4", LOOM_GRACE_MS: "-1", POLL_INTERVAL_MS: "fast" },
    { LOOM_CAPABILITIES: "has gpu", LOOM_PROBE_BINARIES: "../x", LOOM_PROBE_CREDENTIALS: "x" },
    { LOOM_WAKE: "x", LOOM_STATE_DIR: "state", LOG_LEVEL: "loud" },
  ])("reports %j in plain words", (variables) => {
    const problems = problemsOf({ ...GOOD, ...variables });
    expect(problems).toHaveLength(Object.keys(variables).length);
    for (const problem of problems) {
      expect(problem).not.toMatch(
        /expected|received|invalid|NaN|too (small|big|short)|regex|pattern/i,
      );
    }
  });

  test.for([
    { LOOM_CAPABILITIES: "node=anvil" },
    { LOOM_CAPABILITIES: "has-gpu, Loom-Hub" },
    { LOOM_CAPABILITIES: "x=" },
    { LOOM_CAPABILITIES: "x=a\nb" },
    { LOOM_SLOTS: "0" },
    { LOOM_SLOTS: "1.5" },
    { LOOM_LEASE_MS: "2999" },
    { LOOM_GRACE_MS: "-1" },
    { POLL_INTERVAL_MS: "49" },
    { LOOM_CAPABILITIES: `a,${"b".repeat(201)}` },
    { SUPABASE_URL: "abc.supabase.co" },
    { LOOM_WAKE: "0.0.0.0:7421" },
    { LOOM_PROBE_BINARIES: "../ffmpeg" },
    { LOOM_PROBE_CREDENTIALS: "returnpro" },
    { LOOM_STATE_DIR: "state" },
  ])("refuses %j", (variables) => {
    expect(problemsOf({ ...GOOD, ...variables })).toEqual([
      expect.stringContaining(`  ${Object.keys(variables)[0]}: `),
    ]);
  });
});
