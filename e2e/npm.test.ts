import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

/** Processes that have this text in their environment. */
function holders(text: string): number[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(text);
      } catch {
        return false; // it has ended, or is not ours to see
      }
    })
    .map(Number);
}

test.for(["SIGTERM", "SIGKILL"] as const)(
  "npm run agent stops in order and leaves nothing when npm gets %s",
  { timeout: 120_000 },
  async (signal) => {
    const state = mkdtempSync(path.join(tmpdir(), "loom-npm-"));
    onTestFinished(() => {
      for (const pid of holders(state)) process.kill(pid, "SIGKILL");
      rmSync(state, { recursive: true, force: true });
    });
    const npm = spawn("npm", ["run", "agent"], {
      cwd: ROOT,
      env: {
        ...process.env,
        // Nobody answers there: the agent goes on asking.
        SUPABASE_URL: "http://127.0.0.1:1",
        SUPABASE_SERVICE_ROLE_KEY: "key",
        LOOM_NODE_NAME: "forge",
        LOOM_STATE_DIR: state,
      },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const lines: string[] = [];
    createInterface({ input: npm.stdout }).on("line", (line) => lines.push(line));
    const output = () => lines.join("\n");
    await expect.poll(output, { timeout: 60_000 }).toContain("agent started");
    npm.kill(signal);
    await expect.poll(() => holders(state)).toEqual([]);
    expect(output()).toContain("agent stopped");
  },
);
