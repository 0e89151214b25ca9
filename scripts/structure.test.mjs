import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, expect, test } from "vitest";
import { findFaults } from "./structure.mjs";

const folders = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** A workspace with the packages `queue` and `workflow`, the app `hub`, and these files. */
function workspace(files) {
  const root = mkdtempSync(path.join(tmpdir(), "loom-structure-"));
  folders.push(root);
  const manifests = Object.fromEntries(
    ["packages/queue", "packages/workflow", "apps/hub"].map((folder) => [
      `${folder}/package.json`,
      JSON.stringify({ name: `@loom/${path.basename(folder)}` }),
    ]),
  );
  for (const [file, text] of Object.entries({ ...manifests, ...files })) {
    mkdirSync(path.dirname(path.join(root, file)), { recursive: true });
    writeFileSync(path.join(root, file), text);
  }
  return root;
}

const src = "packages/queue/src";
const lines = (count) => "x;\n".repeat(count);
const repeat = (count, name) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [name(index), ""]));

test.each([
  ["a file of 401 lines", { [`${src}/a.ts`]: lines(401) }, ["has 401 lines"]],
  ["SQL of 401 lines", { "packages/queue/sql/a.sql": lines(401) }, ["has 401 lines"]],
  ["a file of 400 lines", { [`${src}/a.ts`]: lines(400) }, []],
  ["a test of 401 lines", { [`${src}/a.test.ts`]: lines(401) }, []],
  ["a folder of 16 files", repeat(16, (n) => `${src}/a${n}.ts`), ["has 16 TypeScript files"]],
  [
    "15 files and 15 tests",
    { ...repeat(15, (n) => `${src}/a${n}.ts`), ...repeat(15, (n) => `${src}/a${n}.test.ts`) },
    [],
  ],
  [
    "a circle of three, one of them by a type alone",
    {
      [`${src}/a.ts`]: 'import {\n  b,\n} from "./b.ts";',
      [`${src}/b.ts`]: 'export { c } from "./c.ts";',
      [`${src}/c.ts`]: 'import type { A } from "./a.ts";',
    },
    [`${src}/a.ts → ${src}/b.ts → ${src}/c.ts → ${src}/a.ts`],
  ],
  ["an import of the layer below", { [`${src}/a.ts`]: 'import { w } from "@loom/workflow";' }, []],
  [
    "an import of the layer above",
    { "packages/workflow/src/a.ts": 'import type { Q } from "@loom/queue/postgres";' },
    ["packages/workflow imports @loom/queue, which is not below it"],
  ],
  [
    "an import of an app",
    { [`${src}/a.ts`]: 'const hub = await import("@loom/hub");' },
    ["packages/queue imports the app @loom/hub"],
  ],
  [
    "a path into another package",
    { "apps/hub/src/a.ts": 'import "../../../packages/queue/src/b.ts";' },
    ["apps/hub/src/a.ts reaches into packages/queue"],
  ],
  [
    "a package that no layer names",
    { "packages/new/package.json": '{ "name": "@loom/new" }', "packages/new/a.ts": "" },
    ["packages/new is in none of the layers"],
  ],
])("%s", (_, files, expected) => {
  const found = findFaults(workspace(files));
  expect(found).toEqual(expected.map((text) => expect.stringContaining(text)));
});
