import { execFileSync, spawnSync } from "node:child_process";
import {
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { createCodeStore } from "./code-store.ts";
import { MAX_BUNDLE_BYTES } from "./digest.ts";
import { packSource, type SignedCode, signWorkflow, unpackSource } from "./signed-code.ts";
import { loadSigningKey, type SigningKey } from "./signing.ts";

let folder: string;
let key: SigningKey;
beforeEach(async () => {
  const root = await mkdtemp(path.join(tmpdir(), "loom-code-"));
  onTestFinished(() => rm(root, { recursive: true }));
  key = await loadSigningKey(path.join(root, "key"));
  folder = path.join(root, "code");
});

const codeOf = (source: string, signer = key): SignedCode =>
  signWorkflow({ name: "hello.ts", source, externals: ["native-db"] }, signer);
const open = (maxBytes?: number) =>
  createCodeStore({ folder, publicKey: key.publicKey, ...(maxBytes && { maxBytes }) });

describe("a code store", () => {
  test("keeps code under its digest, for this user only, and finds it after a restart", async () => {
    const code = codeOf("export const a = 1;");
    const { digest } = code.statement;
    const written = await open().write(code, '{"version":3}');
    expect(written).toMatchObject({ digest, externals: ["native-db"] });
    const file = fileURLToPath(written.url);
    expect(await readFile(file, "utf8")).toBe(code.source);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    const again = open();
    expect(await again.find(digest)).toEqual(written);
    expect(await again.find(digest)).toEqual(written);
    expect(await again.read(digest)).toEqual(code);
    expect(await again.readMap(digest)).toBe('{"version":3}');
  });

  test.each<[string, (code: SignedCode, other: SigningKey) => SignedCode, string]>([
    [
      "with changed bytes",
      (code) => ({ ...code, source: `${code.source} ` }),
      "CODE_DIGEST_MISMATCH",
    ],
    [
      "that was cut off",
      (code) => ({ ...code, source: code.source.slice(0, -3) }),
      "CODE_DIGEST_MISMATCH",
    ],
    [
      "of another hub",
      (_, other) => codeOf("export const a = 1;", other),
      "CODE_SIGNATURE_REFUSED",
    ],
    ["without a signature", (code) => ({ ...code, signature: "" }), "CODE_SIGNATURE_REFUSED"],
    [
      "whose manifest was changed",
      (code) => ({ ...code, manifest: '{"externals":[]}' }),
      "CODE_SIGNATURE_REFUSED",
    ],
    ["that is too large", () => codeOf("x".repeat(MAX_BUNDLE_BYTES + 1)), "CODE_TOO_LARGE"],
  ])("refuses code %s, and keeps nothing of it", async (_, change, refused) => {
    const other = await loadSigningKey(path.join(path.dirname(folder), "other-key"));
    const code = change(codeOf("export const a = 1;"), other);
    await expect(open().write(code)).rejects.toMatchObject({ code: refused });
    expect(await readdir(folder).catch(() => [])).toEqual([]);
  });

  test("does not find code that was changed on the disk, whether it has been used or not", async () => {
    const code = codeOf("export const a = 1;");
    const { digest } = code.statement;
    const store = open();
    const file = fileURLToPath((await store.write(code)).url);
    const { atime, mtime } = await stat(file);
    await writeFile(file, code.source.replace("1", "2"));
    // A program that changes the file may set this time back.
    await utimes(file, atime, mtime);
    expect(await store.find(digest)).toBeUndefined();
    expect(await open().find(digest)).toBeUndefined();
    await store.write(code);
    await truncate(file, 4);
    expect(await store.find(digest)).toBeUndefined();
  });

  test("does not find code that another hub signed, nor a name that is no digest", async () => {
    const code = codeOf("export const a = 1;");
    await open().write(code);
    const other = await loadSigningKey(path.join(path.dirname(folder), "other-key"));
    const theirs = createCodeStore({ folder, publicKey: other.publicKey });
    expect(await theirs.find(code.statement.digest)).toBeUndefined();
    expect(await open().find("../key")).toBeUndefined();
  });

  test("removes the least recently used code beyond its limit, and no code that must be kept", async () => {
    const [kept, oldest, used, newest] = [1, 2, 3, 4].map((n) => codeOf(`${n};`.padEnd(1_000)));
    const digests = [kept, oldest, used].map((code) => code?.statement.digest ?? "");
    const size = 1_000 + JSON.stringify({ ...kept, source: undefined }).length;
    const store = open(3 * size + 500);
    for (const [index, code] of [kept, oldest, used].entries()) {
      if (code) await store.write(code);
      const at = new Date(Date.now() - 1_000_000 + index * 1_000);
      await utimes(path.join(folder, `${digests[index]}.json`), at, at);
    }
    store.keep([digests[0] ?? ""]);
    await store.find(digests[2] ?? "");
    if (newest) await store.write(newest);
    const found = await Promise.all(digests.map((digest) => store.find(digest)));
    expect(found.map((each) => each !== undefined)).toEqual([true, false, true]);
    expect((await readdir(folder)).some((name) => name.startsWith(digests[1] ?? "?"))).toBe(false);
  });
});

/** A mount of its own, seen by nobody else: as root, or as root of a user namespace. */
const UNSHARE = ["--user", "--map-root-user", "--mount"];
const mayMount =
  spawnSync("unshare", [...UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0;

test.skipIf(!mayMount)(
  "a full disk is reported clearly, and leaves nothing incomplete",
  async () => {
    const program = fileURLToPath(new URL("../test/programs/full-disk.ts", import.meta.url));
    const disk = path.dirname(folder);
    const script =
      'mount -t tmpfs -o size=200k tmpfs "$1" && exec "$2" --conditions=@loom/source "$3" "$1"';
    const args = [...UNSHARE, "sh", "-c", script, "sh", disk, process.execPath, program];
    expect(JSON.parse(execFileSync("unshare", args, { encoding: "utf8" }))).toEqual({
      code: "CODE_UNAVAILABLE",
      message: expect.stringMatching(
        /^the code [0-9a-f]{64} cannot be kept: the disk of .+ is full/,
      ),
      left: ["key"],
      isFound: false,
      afterwards: true,
    });
  },
);

describe("packed code", () => {
  test("is read back as it was", async () => {
    const source = "export const a = 'é\u{1f600}';".repeat(1_000);
    const packed = await packSource(source);
    expect(packed.length).toBeLessThan(source.length / 3);
    expect(await unpackSource(packed)).toBe(source);
  });

  test.each([
    [
      "cut off",
      async () => (await packSource("a".repeat(100_000))).slice(0, 80),
      "CODE_DIGEST_MISMATCH",
    ],
    ["no code", async () => "hello", "CODE_DIGEST_MISMATCH"],
    ["too large", () => packSource("a".repeat(MAX_BUNDLE_BYTES + 1)), "CODE_TOO_LARGE"],
  ])("that is %s is refused", async (_, make, code) => {
    await expect(unpackSource(await make())).rejects.toMatchObject({ code });
  });
});
