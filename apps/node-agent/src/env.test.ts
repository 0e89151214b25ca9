import { describe, expect, test } from "vitest";
import { readEnv } from "./env.ts";

const GOOD = { SUPABASE_URL: "https://abc.supabase.co", LOOM_NODE_KEY: "node-key" };

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
      isServiceKey: false,
      LOOM_CAPABILITIES: [],
      LOOM_PROBE_BINARIES: [],
      LOOM_PROBE_CREDENTIALS: [],
      LOOM_SLOTS: 1,
      LOOM_LEASE_MS: 45_000,
      LOOM_GRACE_MS: 20_000,
      POLL_INTERVAL_MS: 5_000,
      LOG_LEVEL: "info",
    });
  });

  test("takes a blank variable for one that is not set", () => {
    const blank = { LOOM_SLOTS: "", LOOM_GRACE_MS: " ", LOOM_NODE_NAME: "", LOOM_CAPABILITIES: "" };
    expect(readEnv({ ...GOOD, ...blank })).toEqual(readEnv(GOOD));
  });

  test("takes the service key where the node has none of its own, and says so", () => {
    const { SUPABASE_URL } = GOOD;
    const SUPABASE_SERVICE_ROLE_KEY = "service-key";
    expect(readEnv({ SUPABASE_URL, SUPABASE_SERVICE_ROLE_KEY })).toMatchObject({
      LOOM_NODE_KEY: "service-key",
      isServiceKey: true,
    });
    expect(readEnv({ ...GOOD, SUPABASE_SERVICE_ROLE_KEY })).toMatchObject({
      LOOM_NODE_KEY: "node-key",
      isServiceKey: false,
    });
  });

  test.for([
    { list: "has-gpu", capabilities: ["has-gpu"] },
    { list: " has-gpu , gpu.vram-gb=24,, ", capabilities: ["has-gpu", "gpu.vram-gb=24"] },
    { list: ",", capabilities: [] },
  ])("reads the capabilities $list", ({ list, capabilities }) => {
    expect(readEnv({ ...GOOD, LOOM_CAPABILITIES: list }).LOOM_CAPABILITIES).toEqual(capabilities);
  });

  test("reads where the doorbell is, and what to look for", () => {
    const env = readEnv({
      ...GOOD,
      LOOM_DOORBELL: "100.64.0.7:7421",
      LOOM_PROBE_BINARIES: "ffmpeg, git",
      LOOM_PROBE_CREDENTIALS: "returnpro=RETURNPRO_USER+/etc/returnpro.key",
    });
    expect(env).toMatchObject({
      LOOM_DOORBELL: { address: "100.64.0.7", port: 7_421 },
      LOOM_PROBE_BINARIES: ["ffmpeg", "git"],
      LOOM_PROBE_CREDENTIALS: [
        { name: "returnpro", needs: ["RETURNPRO_USER", "/etc/returnpro.key"] },
      ],
    });
  });

  test("tells every problem at once, each with its variable", () => {
    const problems = problemsOf({
      SUPABASE_URL: "postgres://db",
      LOOM_NODE_NAME: "My Node",
      LOOM_CAPABILITIES: "has gpu",
      LOOM_SLOTS: "none",
      LOG_LEVEL: "loud",
    });
    expect(problems.map((line) => line.split(":")[0]?.trim())).toEqual([
      "SUPABASE_URL",
      "LOOM_NODE_KEY",
      "LOOM_NODE_NAME",
      "LOOM_CAPABILITIES",
      "LOOM_SLOTS",
      "LOG_LEVEL",
    ]);
  });

  test.for([
    { LOOM_SLOTS: "0" },
    { LOOM_SLOTS: "1.5" },
    { LOOM_LEASE_MS: "2999" },
    { LOOM_GRACE_MS: "-1" },
    { POLL_INTERVAL_MS: "49" },
    { LOOM_CAPABILITIES: `a,${"b".repeat(201)}` },
    { SUPABASE_URL: "abc.supabase.co" },
    { LOOM_DOORBELL: "0.0.0.0:7421" },
    { LOOM_PROBE_BINARIES: "../ffmpeg" },
    { LOOM_PROBE_CREDENTIALS: "returnpro" },
    { LOOM_STATE_DIR: "state" },
  ])("refuses %j", (variables) => {
    expect(problemsOf({ ...GOOD, ...variables })).toEqual([
      expect.stringContaining(`  ${Object.keys(variables)[0]}: `),
    ]);
  });
});
