import { execFileSync, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { SourceMap } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, expect, test } from "vitest";
import { bundleProgram, bundleWorkflow } from "./index.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

/** A folder with these files, by path. */
async function folderWith(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "loom-bundle-"));
  folders.push(folder);
  for (const [name, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
    await writeFile(path.join(folder, name), text);
  }
  return folder;
}

const WORKFLOW = `import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";
import { greet } from "./lib/greet.ts";
import plain from "plain";

export const hello = defineWorkflow({ name: "hello", input: z.object({ who: z.string() }) })
  .step("greet", {}, async ({ input }) => greet(input.who) + plain(__filename.length > 0));
`;
const HELPER = `export function greet(who: string): string {
  if (who === "nobody") throw new Error("nobody to greet");
  return "hello " + who;
}
`;
const FILES = {
  "hello.ts": WORKFLOW.replace("__filename.length > 0", "1"),
  "lib/greet.ts": HELPER,
  // CommonJS, which is bundled with a name for each file.
  "node_modules/plain/package.json": '{ "name": "plain", "main": "index.js" }',
  "node_modules/plain/index.js":
    'const { sep } = require("node:path"); module.exports = (n) => n + sep + require("./more.js") + typeof __dirname;',
  "node_modules/plain/more.js": "module.exports = 2;",
};

/** Imports a bundle in a process of its own, and evaluates an expression of its exports `m`. */
function evaluate(source: string, folder: string, expression: string): string {
  const file = path.join(folder, "run.mjs");
  writeFileSync(file, source);
  const program = `const m = await import(${JSON.stringify(pathToFileURL(file).href)}); console.log(await (${expression}));`;
  return execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    cwd: folder,
  }).trim();
}

test("the same sources in two folders are one version", async () => {
  const one = await folderWith(FILES);
  const other = path.join(await folderWith({}), "deeper", "down");
  await cp(one, other, { recursive: true });
  const bundles = await Promise.all([one, other].map((dir) => bundleWorkflow(`${dir}/hello.ts`)));
  expect(bundles[0]?.digest).toMatch(/^[0-9a-f]{64}$/);
  expect(bundles[1]?.digest).toBe(bundles[0]?.digest);
  expect(bundles[0]?.source).not.toContain(path.basename(one));
});

test.each([
  ["a helper", "lib/greet.ts", HELPER.replace("hello ", "hallo ")],
  ["the schema", "hello.ts", FILES["hello.ts"].replace("z.string()", "z.string().min(1)")],
  ["a dependency", "node_modules/plain/more.js", "module.exports = 3;"],
])("changing %s makes another version", async (_, file, text) => {
  const folder = await folderWith(FILES);
  const before = await bundleWorkflow(`${folder}/hello.ts`);
  await writeFile(path.join(folder, file), text);
  const after = await bundleWorkflow(`${folder}/hello.ts`);
  expect(after.digest).not.toBe(before.digest);
});

test("changing a comment, or the name of a type, makes no other version", async () => {
  const folder = await folderWith(FILES);
  const before = await bundleWorkflow(`${folder}/hello.ts`);
  await writeFile(path.join(folder, "lib/greet.ts"), `// Greets.\ntype Who = string;\n${HELPER}`);
  expect((await bundleWorkflow(`${folder}/hello.ts`)).digest).toBe(before.digest);
});

test("a bundle runs alone, with the hub's own packages and the names that CommonJS expects", async () => {
  const folder = await folderWith(FILES);
  const { source, externals, inputs } = await bundleWorkflow(`${folder}/hello.ts`);
  const elsewhere = await folderWith({});
  const run = "m.hello.steps[0].run({ input: { who: 'ada' } })";
  expect(evaluate(source, elsewhere, run)).toBe("hello ada1/2string");
  expect(externals).toEqual([]);
  expect(inputs).toEqual(
    expect.arrayContaining([path.join(folder, "hello.ts"), path.join(folder, "lib/greet.ts")]),
  );
});

test("an author's own name require does not clash with that of CommonJS", async () => {
  const own = `import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
export const kind = typeof require("node:fs").readFileSync;`;
  const folder = await folderWith({
    ...FILES,
    "alone.ts": own,
    "with-commonjs.ts": `${own}\nimport plain from "plain";\nexport const more = plain(1);`,
  });
  for (const name of ["alone", "with-commonjs"]) {
    const { source } = await bundleWorkflow(`${folder}/${name}.ts`);
    expect(evaluate(source, folder, "m.kind")).toBe("function");
  }
});

test("the source map leads from the bundle to the author's line", async () => {
  const folder = await folderWith(FILES);
  const { source, map } = await bundleWorkflow(`${folder}/hello.ts`);
  const lines = source.split("\n");
  const line = lines.findIndex((text) => text.includes("nobody to greet"));
  const payload = JSON.parse(map);
  const entry = new SourceMap(payload).findEntry(
    line,
    lines[line]?.indexOf('new Error("nobody') ?? 0,
  );
  expect(entry).toMatchObject({ originalSource: "lib/greet.ts", originalLine: 1 });
  expect(payload.sourcesContent).toBeUndefined();
});

test("native modules stay outside and are named, except those that are optional", async () => {
  const folder = await folderWith({
    "work.ts":
      'import db from "native-db";\nimport soft from "soft";\nexport const x = [db, soft];',
    "node_modules/native-db/package.json":
      '{ "name": "native-db", "main": "index.js", "dependencies": { "bindings": "1" } }',
    "node_modules/native-db/index.js": 'module.exports = require("bindings")("db");',
    "node_modules/soft/package.json":
      '{ "name": "soft", "main": "index.js", "optionalDependencies": { "fast-part": "1", "absent-part": "1" } }',
    "node_modules/soft/index.js":
      'let fast = "slow"; try { fast = require("fast-part"); require("absent-part"); require("./build/x.node"); } catch {} module.exports = fast;',
    "node_modules/fast-part/package.json":
      '{ "name": "fast-part", "gypfile": true, "main": "i.js" }',
    "node_modules/fast-part/i.js": 'module.exports = require("./build/fast.node");',
  });
  const { source, externals } = await bundleWorkflow(`${folder}/work.ts`);
  expect(externals).toEqual(["native-db"]);
  expect(source).toContain('from"native-db"');
});

test("a bundle that is too large is refused with its largest inputs", async () => {
  const folder = await folderWith({
    "big.ts":
      'import { data } from "./data.ts";\nexport const size = data.length;\nconsole.log(data);',
    "data.ts": `export const data = "${"x".repeat(9 * 1_048_576)}";`,
  });
  await expect(bundleWorkflow(`${folder}/big.ts`)).rejects.toMatchObject({
    code: "CODE_TOO_LARGE",
    file: path.join(folder, "big.ts"),
    message: expect.stringMatching(
      /^its bundle holds 9\.0 MiB of at most 8\.0 MiB; the most comes from data\.ts \(9\.0 MiB\)/,
    ),
  });
});

test("a syntax error has file, line and a code frame", async () => {
  const folder = await folderWith({
    ...FILES,
    "lib/greet.ts": "const a = 1;\nexport const = 2;\n",
  });
  const failed = bundleWorkflow(`${folder}/hello.ts`);
  await expect(failed).rejects.toMatchObject({
    ...{ file: path.join(folder, "lib/greet.ts"), line: 2, column: 14 },
    message: `${folder}/hello.ts cannot be bundled: Expected identifier but found "="`,
    frame: ["  1 | const a = 1;", "> 2 | export const = 2;", "    |              ^", "  3 |"].join(
      "\n",
    ),
    // The files that a fix may change.
    inputs: expect.arrayContaining([`${folder}/hello.ts`, `${folder}/lib/greet.ts`]),
  });
});

test.each([
  [
    "missing-package",
    'cannot find package "missing-package"',
    "install it beside the file: npm install missing-package",
  ],
  ["./gone.ts", 'cannot find file "./gone.ts"', "check the path of the import, with its extension"],
])("an import of %s says what is missing", async (specifier, message, fix) => {
  const folder = await folderWith({ "w.ts": `\nimport "${specifier}";\n` });
  await expect(bundleWorkflow(`${folder}/w.ts`)).rejects.toMatchObject({
    ...{ message, fix, line: 2, column: 8, file: path.join(folder, "w.ts") },
  });
});

test("a program becomes one file for each entry, and each runs alone", async () => {
  const folder = await folderWith({
    "main.ts":
      '#!/usr/bin/env node\nimport { name } from "./name.ts";\nimport plain from "plain";\nconsole.log(name, plain(1), VERSION);',
    "other.ts": 'import { name } from "./name.ts";\nconsole.log("other", name);',
    "name.ts": 'export const name: string = "loom";',
    ...Object.fromEntries(Object.entries(FILES).filter(([name]) => name.includes("plain"))),
  });
  const entries = { main: `${folder}/main.ts`, other: `${folder}/other.ts` };
  const program = await bundleProgram({ entries, define: { VERSION: '"1.2.3"' } });
  const again = await bundleProgram({ entries, define: { VERSION: '"1.2.4"' } });
  expect([...program.files.keys()]).toEqual(["main.mjs", "other.mjs"]);
  expect(again.digest).not.toBe(program.digest);
  const elsewhere = await folderWith(Object.fromEntries(program.files));
  const run = (name: string) =>
    execFileSync(process.execPath, [path.join(elsewhere, name)], { encoding: "utf8" }).trim();
  expect([run("main.mjs"), run("other.mjs")]).toEqual(["loom 1/2string 1.2.3", "other loom"]);
});

// The process of esbuild asks once a second whether it is still needed. Go took a build without answers for a deadlock.
test("a program that ends while it bundles leaves no trace of goroutines in its output", {
  timeout: 30_000,
}, async () => {
  const folder = await folderWith(FILES);
  const program = `
    import { subscribe } from "node:diagnostics_channel";
    import { bundleWorkflow } from ${JSON.stringify(import.meta.resolve("./index.ts"))};
    subscribe("child_process", () => setImmediate(() => {
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500);
      process.exit(6);
    }));
    await bundleWorkflow(${JSON.stringify(`${folder}/hello.ts`)});`;
  const args = ["--conditions=@loom/source", "--input-type=module", "-e", program];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 6, stderr: "" });
});
