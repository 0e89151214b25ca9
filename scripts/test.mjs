// Runs Vitest and ends with one plain line, the last one: `12 passed, 0 failed`,
// with `, 1 skipped` where tests were skipped. Arguments go to Vitest.
//
// It ends in any case. Vitest waits for whoever holds its output, so a process that a failed test left behind would
// keep it for ever: such a process is named and ended. So is a run that takes longer than any run should.
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** How long Vitest may go on when its report is written. */
const CLOSING_MS = 20_000;
/** Twice what a run takes on a slow machine with two processors. */
const LONGEST_MS = 65 * 60_000;

const inRoot = (file) => fileURLToPath(new URL(`../${file}`, import.meta.url));
const folder = mkdtempSync(path.join(tmpdir(), "loom-tests-"));
const report = path.join(folder, "report.json");

// What tests start inherits it, so its processes are known from those of others.
const mark = `LOOM_TEST_RUN=${randomUUID()}`;
const [name, value] = mark.split("=");
const vitest = spawn(
  process.execPath,
  [
    inRoot("node_modules/vitest/vitest.mjs"),
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    `--reporter=${inRoot("scripts/unsteady-tests.mjs")}`,
    // Where nobody looks on, one test that lost a race should not hide what else there is. It is named at the end.
    ...(process.env.CI ? ["--retry=1"] : []),
    ...process.argv.slice(2),
  ],
  { stdio: "inherit", cwd: inRoot("."), env: { ...process.env, [name]: value } },
);
const end = new Promise((resolve) => vitest.once("exit", resolve));
// Ctrl-C reaches Vitest too, which ends by it; what is sent to this process alone is passed on.
process.on("SIGINT", () => {});
for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => vitest.kill(signal));

const startedAt = performance.now();
let writtenAt;
const watching = setInterval(() => {
  const now = performance.now();
  if (existsSync(report)) writtenAt ??= now;
  const isLeft = now - writtenAt > CLOSING_MS;
  if (!isLeft && now - startedAt < LONGEST_MS) return;
  clearInterval(watching);
  console.error(
    isLeft
      ? "the tests have ended, and processes that they started have not:"
      : `the tests have not ended in ${LONGEST_MS / 60_000} minutes; what runs:`,
  );
  for (const [pid, command] of marked()) {
    console.error(`  ${pid} ${command}`);
    kill(pid);
  }
  setTimeout(() => vitest.kill("SIGKILL"), 10_000).unref();
}, 1_000);
const status = await end;
clearInterval(watching);

const files = readReport();
rmSync(folder, { recursive: true });
const tests = files.flatMap((file) => file.assertionResults);
const passed = tests.filter((test) => test.status === "passed").length;
const failedTests = tests.filter((test) => test.status === "failed").length;
// A file that cannot be loaded has no tests of its own: it counts as one failure.
const brokenFiles = files.filter(
  (file) => file.status === "failed" && file.assertionResults.length === 0,
).length;
// Vitest also fails for what no test shows: an unhandled rejection, a failed tear-down.
const failed = failedTests + brokenFiles || (status === 0 ? 0 : 1);
const skipped = tests.length - passed - failedTests;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exitCode = failed > 0 ? 1 : 0;

/** The files of the report; none when Vitest ended before it could write one. */
function readReport() {
  try {
    return JSON.parse(readFileSync(report, "utf8")).testResults;
  } catch {
    return [];
  }
}

/** What tests started and still runs: pids and commands. Empty where there is no /proc. */
function marked() {
  if (!existsSync("/proc/self/environ")) return [];
  const read = (pid, what) => {
    try {
      return readFileSync(`/proc/${pid}/${what}`, "utf8");
    } catch {
      // It has ended, or is somebody else's.
      return "";
    }
  };
  // Vitest's workers are its children, and it ends them itself.
  const isVitest = (pid) =>
    Number(pid) === vitest.pid || read(pid, "status").includes(`PPid:\t${vitest.pid}\n`);
  return readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid) && !isVitest(pid))
    .filter((pid) => read(pid, "environ").split("\0").includes(mark))
    .map((pid) => [Number(pid), read(pid, "cmdline").replaceAll("\0", " ").trim()]);
}

function kill(pid) {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (error.code !== "ESRCH") throw error;
  }
}
