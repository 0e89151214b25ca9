import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { KeyError } from "./errors.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { loadSsh2 } from "./load-ssh2.ts";

const MAX_BYTES = 64 * 1_024;

/** A private key that may be used. */
export interface PrivateKey {
  readonly pem: Buffer;
  /** The public key as a line for `authorized_keys`. */
  readonly publicLine: string;
  readonly fingerprint: string;
}

/**
 * Reads the private key that Loom uses for nothing else.
 *
 * @throws KeyError when the file is missing, other users can read or change it, it needs a
 * passphrase, or it is not a private key.
 */
export async function readPrivateKey(file: string): Promise<PrivateKey> {
  const fail = (code: KeyError["code"], message: string, cause?: unknown) =>
    new KeyError(message, { code, file, cause });
  const pem = await readGuarded(file).catch((error: NodeJS.ErrnoException) => {
    if (error instanceof KeyError) throw error;
    if (error.code === "ENOENT") {
      throw fail(
        "KEY_MISSING",
        `the key ${file} does not exist: make one with ssh-keygen -t ed25519 -N '' -f ${file}, and put its .pub into authorized_keys on the node`,
        error,
      );
    }
    throw fail("KEY_UNREADABLE", `the key ${file} cannot be read: ${error.message}`, error);
  });
  const key = (await loadSsh2()).utils.parseKey(pem);
  if (key instanceof Error) {
    throw /encrypted|passphrase/i.test(key.message)
      ? fail(
          "KEY_ENCRYPTED",
          `the key ${file} needs a passphrase, which a program cannot type: make a separate key with ssh-keygen -t ed25519 -N '', and restrict it with loom-ssh-gate`,
          key,
        )
      : fail("KEY_INVALID", `${file} does not contain a private key: ${key.message}`, key);
  }
  if (!key.isPrivateKey()) {
    throw fail("KEY_INVALID", `${file} contains a public key: name the file without .pub`);
  }
  const blob = key.getPublicSSH();
  return {
    pem,
    publicLine: `${key.type} ${blob.toString("base64")}`,
    fingerprint: fingerprintOf(blob),
  };
}

/**
 * Reads the file if no other user can. It checks the open file, so that it cannot be replaced in
 * between.
 */
async function readGuarded(file: string): Promise<Buffer> {
  // Opening a named pipe would wait for its writer.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    await checkGuarded(handle, file);
    return await handle.readFile();
  } finally {
    await handle.close();
  }
}

async function checkGuarded(handle: FileHandle, file: string): Promise<void> {
  const stat = await handle.stat();
  const { mode, uid } = stat;
  if (!stat.isFile() || stat.size > MAX_BYTES) {
    throw new KeyError(`${file} is not a key file`, { code: "KEY_INVALID", file });
  }
  // Windows has no such modes.
  if (process.getuid === undefined) return;
  if ((mode & 0o077) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, "0");
    throw new KeyError(
      `the key ${file} can be read or changed by others (mode ${octal}): run chmod 600 on it, and replace the key if another user may have read it`,
      { code: "KEY_EXPOSED", file },
    );
  }
  if (uid !== process.getuid() && uid !== 0) {
    throw new KeyError(
      `the key ${file} belongs to user ${uid}: change its owner to the user who runs this program`,
      {
        code: "KEY_EXPOSED",
        file,
      },
    );
  }
}
