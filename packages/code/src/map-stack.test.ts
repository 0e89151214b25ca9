import { execFileSync } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { createBundler } from "./bundle/index.ts";
import { createCodeStore } from "./code-store.ts";
import { createStackMapper } from "./map-stack.ts";
import { loadSigningKey } from "./signing.ts";

test("a stack trace of a bundle names the author's files and lines, wherever the bundle ran", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "loom-stack-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(
    path.join(folder, "helper.ts"),
    "// A type, and\n// comments.\nexport function fail(what: string): never {\n  throw new Error('no ' + what);\n}\n",
  );
  await writeFile(
    path.join(folder, "work.ts"),
    'import { fail } from "./helper.ts";\n\nexport function begin() {\n  fail("luck");\n}\n',
  );
  const key = await loadSigningKey(path.join(folder, "key"));
  const store = createCodeStore({ folder: path.join(folder, "code"), publicKey: key.publicKey });
  const { url } = await createBundler({ store, key })(path.join(folder, "work.ts"));
  const program = `const m = await import(${JSON.stringify(url)}); try { m.begin(); } catch (error) { console.log(error.stack); }`;
  const stack = execFileSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
  });
  expect(stack).toContain(fileURLToPath(url));
  const toAuthor = createStackMapper(store.readMap);
  const elsewhere = stack.replaceAll(path.join(folder, "code"), "/var/lib/loom%20agent/code");
  for (const text of [stack, elsewhere]) {
    const mapped = await toAuthor(text);
    expect(mapped).toContain(`at fail (${path.join(folder, "helper.ts")}:4:9)`);
    expect(mapped).toContain(`${path.join(folder, "work.ts")}:4:3)`);
    expect(mapped).not.toContain(".mjs");
  }
  const unknown = `at x (file:///a/${"0".repeat(64)}.mjs:1:2)`;
  expect(await toAuthor(unknown)).toBe(unknown);
});
