import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../apps/quickstart/src/main.ts", import.meta.url));

let dataDir: string;
beforeEach(() => {
  dataDir = mkdtempSync(path.join(tmpdir(), "loom-quickstart-"));
  // Postgres never runs as root, and has to reach its data.
  chmodSync(dataDir, 0o755);
});
afterEach(() => rmSync(dataDir, { recursive: true, force: true }));

interface Start {
  child: ChildProcess;
  lines: string[];
  url: string;
  token: string;
  exited: Promise<number | null>;
}

/** Starts everything as `npm start` does, and waits for its `ready` line. */
async function start(env: Record<string, string> = {}): Promise<Start> {
  const child = spawn(process.execPath, ["--conditions=@loom/source", MAIN], {
    env: { ...process.env, LOOM_DATA_DIR: dataDir, PORT: "0", LOOM_TOKEN: "", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const lines: string[] = [];
  const exited = new Promise<number | null>((resolve) => child.once("exit", resolve));
  const url = await new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      createInterface({ input: stream }).on("line", (line) => {
        lines.push(line);
        if (line.startsWith("ready ")) resolve(line.slice(6));
      });
    }
    void exited.then(() => reject(new Error(lines.join("\n"))));
  });
  return {
    child,
    lines,
    url,
    token: readFileSync(path.join(dataDir, "token"), "utf8").trim(),
    exited,
  };
}

/** Processes of this start that live: each carries the data folder in its environment. */
function survivors(): string[] {
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && Number(pid) !== process.pid)
    .filter((pid) => {
      try {
        const text =
          readFileSync(`/proc/${pid}/environ`, "utf8") +
          readFileSync(`/proc/${pid}/cmdline`, "utf8");
        return text.includes(dataDir);
      } catch {
        return false; // it has ended, or is not ours to see
      }
    });
}

// The process that watches over the others outlives them by a moment.
const expectNoSurvivors = () => expect.poll(survivors, { timeout: 20_000 }).toEqual([]);

const smokeSteps = (lines: string[]) =>
  lines
    .map((line) => /^(local|remote|check|ssh) +(\S+) +(\S+)/.exec(line)?.slice(1))
    .filter(Boolean);

test("shows a run across two hosts, serves, and finds its data again at the second start", async () => {
  const first = await start();
  expect(smokeSteps(first.lines)).toEqual([
    ["local", "oracle", "succeeded"],
    ["remote", "pop-os", "succeeded"],
    ["check", "oracle", "succeeded"],
    ["ssh", "oracle", "succeeded"],
  ]);

  const call = async ({ url, token }: Start, method: string, route: string) => {
    const headers = { authorization: `Bearer ${token}` };
    const response = await fetch(`${url}/api/loom${route}`, { method, headers });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const again = await call(first, "POST", "/strands/cross-node-smoke/run");
  expect(again.status).toBe(202);
  await expect
    .poll(async () => (await call(first, "GET", `/runs/${again.body.runId}`)).body.status, {
      timeout: 20_000,
    })
    .toBe("succeeded");

  first.child.kill("SIGINT");
  expect(await first.exited).toBe(0);
  await expectNoSurvivors();

  const second = await start();
  expect(second.token).toBe(first.token);
  expect(await call(second, "GET", `/runs/${again.body.runId}`)).toMatchObject({
    status: 200,
    body: { status: "succeeded" },
  });
  second.child.kill("SIGTERM");
  expect(await second.exited).toBe(0);
  await expectNoSurvivors();
});

test("leaves no process behind when it is killed", async () => {
  const { child, exited } = await start();
  expect(survivors().length).toBeGreaterThan(3);
  child.kill("SIGKILL");
  await exited;
  await expectNoSurvivors();
});

test("ends everything, and says which part failed, when one part crashes", async () => {
  const { exited, lines } = await start();
  const hub = survivors().find((pid) =>
    readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("apps/hub/src/main.ts"),
  );
  process.kill(Number(hub), "SIGKILL");
  expect(await exited).toBe(1);
  expect(lines.join("\n")).toContain("hub ended unexpectedly (SIGKILL)");
  await expectNoSurvivors();
});
