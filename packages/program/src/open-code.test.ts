import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { hubCode } from "./open-code.ts";

test("a bundle finds the native modules that are installed beside its workflow file", async () => {
  const root = await mkdtemp(path.join(tmpdir(), "loom-native-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const native = path.join(root, "project/node_modules/native-db");
  await mkdir(native, { recursive: true });
  await mkdir(path.join(root, "project/flows"));
  await writeFile(path.join(native, "package.json"), '{ "name": "native-db", "gypfile": true }');
  await writeFile(path.join(native, "index.js"), "module.exports = 'compiled';");
  const file = path.join(root, "project/flows/work.ts");
  await writeFile(file, 'import db from "native-db";\nconsole.log(db);\n');
  const workflows = path.dirname(file);
  // Twice, as a hub that is started again.
  await hubCode(path.join(root, "state"), { workflows });
  const { code } = await hubCode(path.join(root, "state"), { workflows });
  const { url, externals } = await code.bundle(file);
  expect(externals).toEqual(["native-db"]);
  const program = `await import(${JSON.stringify(url)})`;
  expect(
    execFileSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" }),
  ).toBe("compiled\n");
});
