// Usage: node scripts/pnpm.mjs <script of the root package.json> [arguments]
//
// The one step of set-up, on any machine with Node 20 or newer and npm. `npm exec`
// fetches the pnpm that package.json pins and, only where this Node is too old for
// the toolchain, a newer Node: both from the npm registry into npm's own cache,
// nothing globally. Then it installs the dependencies and runs the script.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { constants, tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { nodePackage } from "./node-package.mjs";

const NODE_VERSION = "26.10.0";

const root = fileURLToPath(new URL("..", import.meta.url));
const { packageManager, scripts } = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));

const [major, minor] = process.versions.node.split(".").map(Number);
const isSupported = (major === 22 && minor >= 18) || (major === 24 && minor >= 11) || major >= 26;
const packages = [packageManager];
if (!isSupported) {
  try {
    packages.push(`${nodePackage()}@${NODE_VERSION}`);
  } catch (error) {
    console.error(
      `Node ${process.versions.node} is too old for Loom (22.18+, 24.11+ or 26+ is needed), and ${error.message}. Install a newer Node and try again.`,
    );
    process.exit(1);
  }
}

const [script = "", ...args] = process.argv.slice(2);
const name = `task:${script.replace(/^task:/, "")}`;
const text = scripts[name];
if (!text) {
  console.error(`there is no script ${name} in package.json`);
  process.exit(1);
}

// A signal has to reach the script itself: npm and pnpm pass it to a shell, which dies of it and leaves
// its children behind. So they only install, and say what PATH they made; the script is a child of ours.
let child;
let asked;
// Ctrl-C reaches the whole process group, the child too. What is sent to this process alone is passed on;
// either way the script decides how to end, and this process ends as it did.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    asked = signal;
    if (signal !== "SIGINT") child?.kill(signal);
  });
}
// Somebody killed npm: nobody is left to ask us to end.
const parent = process.ppid;
const watching = setInterval(() => {
  if (process.ppid === parent) return;
  clearInterval(watching);
  child?.kill("SIGTERM");
}, 1_000);

/** Runs a program to its end. */
function run(program, args, env = process.env) {
  return new Promise((resolve) => {
    child = spawn(program, args, { cwd: root, stdio: "inherit", env });
    child.on("error", (error) => {
      console.error(`${program} could not be started: ${error.message}`);
      resolve(1);
    });
    child.on("exit", (code, signal) => resolve(code ?? 128 + constants.signals[signal]));
  });
}

const folder = mkdtempSync(path.join(tmpdir(), "loom-start-"));
const pathFile = path.join(folder, "path");
const install = "pnpm install --frozen-lockfile --prefer-offline --loglevel=warn";
const installed = await run("npm", [
  "exec",
  "--yes",
  // Without it npm asks the registry again on every start: 70 s of retries when offline.
  "--prefer-offline",
  "--loglevel=error",
  ...packages.map((spec) => `--package=${spec}`),
  "-c",
  // npm joins what follows `-c` into one shell line.
  `${install} && printf %s "$PATH" > '${pathFile.replaceAll("'", "'\\''")}'`,
]);
const PATH = installed === 0 ? readFileSync(pathFile, "utf8") : "";
rmSync(folder, { recursive: true });
if (installed !== 0 || asked) {
  process.exit(installed || 128 + constants.signals[asked]);
}
// With `exec` there is no shell between us and the script; where it has several commands, there has to be.
const line = /&&|\|\||[;|]/.test(text) ? text : `exec ${text}`;
const code = await run("/bin/sh", ["-c", `${line} "$@"`, "sh", ...args], {
  ...process.env,
  PATH: `${path.join(root, "node_modules/.bin")}:${PATH}`,
});
process.exit(code);
