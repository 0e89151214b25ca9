// Everything that can be checked without running a test. The checks run at the same time, because most of them use
// one processor; what a check has to say is printed when it has ended.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const root = fileURLToPath(new URL("..", import.meta.url));
let failed = 0;

/** Runs commands one after the other until one fails. */
async function check(name, ...commands) {
  const startedAt = performance.now();
  let said = "";
  let isFine = true;
  for (const [program, ...args] of commands) {
    try {
      const { stdout, stderr } = await run(program, args, { cwd: root, maxBuffer: 2 ** 26 });
      said += stdout + stderr;
    } catch (error) {
      said += `${error.stdout ?? ""}${error.stderr ?? ""}${program}: ${error.message.split("\n")[0]}\n`;
      isFine = false;
      failed += 1;
      break;
    }
  }
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1);
  process.stdout.write(`${isFine ? "ok    " : "failed"}  ${name} (${seconds} s)\n${said}`);
}

await Promise.all([
  check(
    "types, packages as they would be published",
    ["tsc", "-b"],
    ["pnpm", "-r", "--silent", "run", "build"],
    ["node", "scripts/release-check.mjs"],
  ),
  check("promises", [
    ...["oxlint", "--ignore-pattern", "packages/init/template", "--type-aware", "-A", "all"],
    ...["-D", "typescript/no-floating-promises", "-D", "typescript/no-misused-promises"],
  ]),
  check("format and lint", ["biome", "ci", "--error-on-warnings", "."]),
  check("structure", ["node", "scripts/structure.mjs"]),
  check("words", ["node", "scripts/words.mjs"]),
  check("links", ["node", "scripts/links.mjs"]),
  check("dead code", ["knip"]),
]);
process.exitCode = failed > 0 ? 1 : 0;
