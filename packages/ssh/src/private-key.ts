import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { KeyError } from "./errors.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { loadSsh2 } from "./load-ssh2.ts";

const MAX_BYTES = 64 * 1_024;

/** A private key that may be used. */
export interface PrivateKey {
  readonly pem: Buffer;
  /** Its public part as a line for `authorized_keys`. */
  readonly publicLine: string;
  readonly fingerprint: string;
}

/**
 * Reads the private key that Loom uses for nothing else.
 *
 * @throws KeyError when it is not there, others can read or change it, it needs a passphrase, or
 * it is no private key.
 */
export async function readPrivateKey(file: string): Promise<PrivateKey> {
  const fail = (code: KeyError["code"], message: string, cause?: unknown) =>
    new KeyError(message, { code, file, cause });
  const pem = await readGuarded(file).catch((error: NodeJS.ErrnoException) => {
    if (error instanceof KeyError) throw error;
    if (error.code === "ENOENT") {
      throw fail(
        "KEY_MISSING",
        `there is no key ${file}: make one with ssh-keygen -t ed25519 -N '' -f ${file}, and put its .pub into authorized_keys on the node`,
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
          `the key ${file} needs a passphrase, which nobody is there to type: make a key for this purpose alone with ssh-keygen -t ed25519 -N '', and let loom-ssh-gate bound what it can do`,
          key,
        )
      : fail("KEY_INVALID", `${file} holds no private key: ${key.message}`, key);
  }
  if (!key.isPrivateKey()) {
    throw fail("KEY_INVALID", `${file} holds a public key: name the file without .pub`);
  }
  const blob = key.getPublicSSH();
  return {
    pem,
    publicLine: `${key.type} ${blob.toString("base64")}`,
    fingerprint: fingerprintOf(blob),
  };
}

/** Reads the file if nobody else can: asked of the open file, so that it cannot be exchanged. */
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
      `the key ${file} can be read or changed by others (mode ${octal}): chmod 600 it, and replace it if somebody may have`,
      { code: "KEY_EXPOSED", file },
    );
  }
  if (uid !== process.getuid() && uid !== 0) {
    throw new KeyError(
      `the key ${file} belongs to user ${uid}: chown it to the user that runs this`,
      {
        code: "KEY_EXPOSED",
        file,
      },
    );
  }
}
