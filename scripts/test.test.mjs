import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));

/** Runs one file of tests with the program that CI runs, and answers what it printed. */
async function runTests(text, env = {}) {
  const cache = path.join(root, "node_modules/.cache");
  mkdirSync(cache, { recursive: true });
  const folder = mkdtempSync(path.join(cache, "tests-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  writeFileSync(path.join(folder, "vitest.config.mjs"), "export default {};");
  writeFileSync(path.join(folder, "a.test.mjs"), text);
  const config = path.join(folder, "vitest.config.mjs");
  const argv = [path.join(root, "scripts/test.mjs"), "--root", folder, "--config", config];
  return run(process.execPath, argv, { env: { ...process.env, ...env } }).catch((error) => error);
}

const lastLine = ({ stdout }) => stdout.trimEnd().split("\n").at(-1);

test("the last line counts what passed, failed and was skipped", async () => {
  const said = await runTests(`
    import { test } from "vitest";
    test("passes", () => {});
    test("fails", () => { throw new Error("as it should"); });
    test.skip("is skipped", () => {});
  `);
  expect(lastLine(said)).toBe("1 passed, 1 failed, 1 skipped");
  expect(said.code).toBe(1);
});

test("a test that passes at its second try is named where tests have one", async () => {
  const text = `
    import { expect, test } from "vitest";
    let tries = 0;
    test("is lucky", () => { tries += 1; expect(tries).toBe(2); });
  `;
  const retried = await runTests(text, { CI: "true" });
  expect(lastLine(retried)).toBe("1 passed, 0 failed");
  expect(retried.stderr).toContain("passed at the second try only:\n  a.test.mjs > is lucky");
  expect(lastLine(await runTests(text, { CI: "" }))).toBe("0 passed, 1 failed");
});

test.runIf(existsSync("/proc/self/environ"))(
  "a process that a test leaves behind does not keep the run from its end, and is named",
  async () => {
    const said = await runTests(`
      import { spawn } from "node:child_process";
      import { test } from "vitest";
      test("leaves a process that holds its output", async () => {
        const child = spawn("/bin/sh", ["-c", "sleep 600 & echo up"], { stdio: ["ignore", "pipe", "inherit"] });
        await new Promise((resolve) => child.stdout.once("data", resolve));
        throw new Error("fails");
      });
    `);
    expect(lastLine(said)).toBe("0 passed, 1 failed");
    expect(said.stderr).toMatch(/^ {2}\d+ sleep 600$/m);
  },
);
