import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { digestOf } from "./digest.ts";
import { loadSigningKey, type Statement, signStatement, verifyStatement } from "./signing.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "loom-signing-"));
});
afterAll(() => rm(folder, { recursive: true }));

const statement: Statement = {
  ...{ kind: "workflow", name: "hello", sequence: 0 },
  ...{ digest: digestOf("code"), manifestDigest: digestOf("manifest") },
};

test("a key is made once, by however many hubs begin at the same moment, and only its owner may read it", async () => {
  const file = path.join(folder, "state", "signing-key");
  const keys = await Promise.all(Array.from({ length: 8 }, () => loadSigningKey(file)));
  expect(new Set(keys.map(({ publicKey }) => publicKey)).size).toBe(1);
  expect(keys[0]?.publicKey).toMatch(/^[\w-]{43}$/);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect(await readdir(path.dirname(file))).toEqual(["signing-key"]);
  expect(JSON.stringify(keys[0])).not.toContain("PRIVATE");
});

test("a statement verifies with the key that signed it, and with no other", async () => {
  const key = await loadSigningKey(path.join(folder, "one"));
  const other = await loadSigningKey(path.join(folder, "other"));
  const signature = signStatement(statement, key);
  expect(verifyStatement(statement, signature, key.publicKey)).toBe(true);
  expect(verifyStatement(statement, signature, other.publicKey)).toBe(false);
  expect(verifyStatement(statement, "", key.publicKey)).toBe(false);
  expect(verifyStatement(statement, signature, "no key")).toBe(false);
});

test.each<Partial<Statement>>([
  { kind: "agent" },
  { name: "hello2" },
  { digest: digestOf("other code") },
  { manifestDigest: digestOf("other manifest") },
  { sequence: 1 },
])("a signature does not hold for a statement with %o", async (change) => {
  const key = await loadSigningKey(path.join(folder, "one"));
  const signature = signStatement(statement, key);
  expect(verifyStatement({ ...statement, ...change }, signature, key.publicKey)).toBe(false);
});

test("a key that others may read is refused with what to do", async () => {
  const file = path.join(folder, "exposed");
  await loadSigningKey(file);
  await chmod(file, 0o644);
  await expect(loadSigningKey(file)).rejects.toMatchObject({
    code: "SIGNING_KEY",
    message: expect.stringContaining(`chmod 600 ${file}`),
  });
});

test("a file without an ed25519 key is refused, and stays as it is", async () => {
  const file = path.join(folder, "text");
  await writeFile(file, "not a key", { mode: 0o600 });
  await expect(loadSigningKey(file)).rejects.toMatchObject({ code: "SIGNING_KEY" });
  expect(await readFile(file, "utf8")).toBe("not a key");
});
