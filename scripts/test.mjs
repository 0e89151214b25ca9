// Runs Vitest and ends with one plain line, the last one: `12 passed, 0 failed`,
// with `, 1 skipped` where tests were skipped. Arguments go to Vitest.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";

const inRoot = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const report = inRoot("node_modules/.cache/test-report.json");
mkdirSync(inRoot("node_modules/.cache"), { recursive: true });
rmSync(report, { force: true });

const vitest = spawnSync(
  process.execPath,
  [
    inRoot("node_modules/vitest/vitest.mjs"),
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { stdio: "inherit", cwd: inRoot(".") },
);

const files = readReport();
const tests = files.flatMap((file) => file.assertionResults);
const passed = tests.filter(({ status }) => status === "passed").length;
const failedTests = tests.filter(({ status }) => status === "failed").length;
// A file that cannot be loaded has no tests of its own: it counts as one failure.
const brokenFiles = files.filter(
  ({ status, assertionResults }) => status === "failed" && assertionResults.length === 0,
).length;
// Vitest also fails for what no test shows: an unhandled rejection, a failed tear-down.
const failed = failedTests + brokenFiles || (vitest.status === 0 ? 0 : 1);
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
