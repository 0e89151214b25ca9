import { chmod, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import ssh2 from "ssh2";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { readPrivateKey } from "./private-key.ts";
import { makeKeyPair } from "./testing/credentials.ts";

const { private: pem, public: publicLine } = makeKeyPair();

let file: string;
beforeEach(async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "loom-key-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  file = path.join(folder, "id");
});
const write = async (text: string, mode = 0o600) => {
  await writeFile(file, text);
  await chmod(file, mode);
};

describe("readPrivateKey", () => {
  test("returns the public key", async () => {
    await write(pem);
    expect(await readPrivateKey(file)).toMatchObject({
      publicLine,
      fingerprint: expect.stringMatching(/^SHA256:/),
    });
  });

  test.for([0o640, 0o604, 0o620, 0o666, 0o601])("refuses mode %o", async (mode) => {
    await write(pem, mode);
    await expect(readPrivateKey(file)).rejects.toMatchObject({
      code: "KEY_EXPOSED",
      message: expect.stringContaining("chmod 600"),
    });
  });

  test("checks the file, not the link to it", async () => {
    await write(pem, 0o644);
    await symlink(file, `${file}.link`);
    await expect(readPrivateKey(`${file}.link`)).rejects.toMatchObject({ code: "KEY_EXPOSED" });
  });

  test("refuses one that needs a passphrase", async () => {
    const options = { passphrase: "secret", cipher: "aes256-cbc", rounds: 1 };
    await write(ssh2.utils.generateKeyPairSync("ed25519", options).private);
    await expect(readPrivateKey(file)).rejects.toMatchObject({ code: "KEY_ENCRYPTED" });
  });

  test("says how to make a missing key", async () => {
    await expect(readPrivateKey(file)).rejects.toMatchObject({
      code: "KEY_MISSING",
      message: expect.stringContaining("ssh-keygen -t ed25519"),
    });
  });

  test.for([
    ["a public key", publicLine],
    ["nonsense", "nonsense"],
    ["nothing", ""],
    ["far too much", "x".repeat(100_000)],
  ])("refuses %s", async ([, text = ""]) => {
    await write(text);
    await expect(readPrivateKey(file)).rejects.toMatchObject({ code: "KEY_INVALID" });
  });

  test("refuses a folder", async () => {
    await expect(readPrivateKey(path.dirname(file))).rejects.toMatchObject({ code: "KEY_INVALID" });
  });
});
