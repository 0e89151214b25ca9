import { randomUUID } from "node:crypto";
import { statSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { isDigest } from "./digest.ts";
import { CodeError } from "./errors.ts";
import { type CodeManifest, type SignedCode, verifyCode } from "./signed-code.ts";

const MAX_BYTES = 200 * 1_048_576;
/** How often the use of code is written down, which decides what is removed first. */
const USE_MS = 60_000;

/** Code in a store. */
export interface StoredCode extends CodeManifest {
  readonly digest: string;
  /** The file's URL, for an import. */
  readonly url: string;
}

/** A folder with verified code, by digest. */
export interface CodeStore {
  readonly folder: string;
  /**
   * Finds code. The store verifies all of it the first time, and again when its file has changed since. Code that
   * differs from what was written counts as missing.
   */
  find(digest: string): Promise<StoredCode | undefined>;
  /** The code with its signature, to pass it on; undefined if it is missing. */
  read(digest: string): Promise<SignedCode | undefined>;
  /**
   * Verifies code and keeps it, with its source map if it has one. Beyond the limit, removes the least recently used
   * code.
   *
   * @throws CodeError, without leaving a partial file.
   */
  write(code: SignedCode, map?: string): Promise<StoredCode>;
  /** The source map of code; undefined if none is kept. */
  readMap(digest: string): Promise<string | undefined>;
  /** Sets the code that the store never removes, whatever the limit. */
  keep(digests: Iterable<string>): void;
}

/**
 * Opens a folder as a store. The first write makes the folder.
 *
 * Its files belong to this user alone. Each is written to a temporary file, flushed and renamed, so that a full disk
 * or a kill leaves no file that looks like code.
 *
 * @param options.publicKey - The key of the hub whose code this is.
 */
export function createCodeStore({
  folder,
  publicKey,
  maxBytes = MAX_BYTES,
}: {
  folder: string;
  publicKey: string;
  maxBytes?: number;
}): CodeStore {
  /** The fingerprint of each file when all of it was verified, by digest. */
  const verified = new Map<string, { identity: string; stored: StoredCode; usedAt: number }>();
  let kept: ReadonlySet<string> = new Set();

  const fileOf = (digest: string, extension: string) => path.join(folder, `${digest}.${extension}`);

  async function read(digest: string): Promise<SignedCode | undefined> {
    if (!isDigest(digest)) return undefined;
    try {
      const [source, statement] = await Promise.all([
        readFile(fileOf(digest, "mjs"), "utf8"),
        readFile(fileOf(digest, "json"), "utf8"),
      ]);
      const code = { ...(JSON.parse(statement) as Omit<SignedCode, "source">), source };
      verifyCode(code, digest, publicKey);
      return code;
    } catch {
      // The file is missing or has changed, so it is fetched again.
      return undefined;
    }
  }

  /**
   * A fingerprint that changes when a file is written to or replaced. No program can set the time of the last change.
   *
   * Every step waits for this. The call takes microseconds; another thread would take a hundred times as long.
   */
  function identityOf(digest: string): string | undefined {
    try {
      const { ino, size, ctimeMs } = statSync(fileOf(digest, "mjs"));
      return [ino, size, ctimeMs].join("/");
    } catch {
      return undefined;
    }
  }

  const toStored = (digest: string, manifest: string): StoredCode => ({
    digest,
    url: pathToFileURL(fileOf(digest, "mjs")).href,
    externals: (JSON.parse(manifest) as CodeManifest).externals,
  });

  async function verify(digest: string): Promise<StoredCode | undefined> {
    const code = await read(digest);
    return code && remember(digest, code.manifest);
  }

  function remember(digest: string, manifest: string): StoredCode {
    const stored = toStored(digest, manifest);
    const identity = identityOf(digest);
    if (identity !== undefined) verified.set(digest, { identity, stored, usedAt: Date.now() });
    return stored;
  }

  async function writeBeside(file: string, text: string): Promise<void> {
    const beside = path.join(folder, `.${path.basename(file)}-${randomUUID()}`);
    try {
      await writeFile(beside, text, { mode: 0o600, flag: "wx", flush: true });
      await rename(beside, file);
    } finally {
      await rm(beside, { force: true });
    }
  }

  async function prune(newest: string): Promise<void> {
    const entries = await usesOf(folder);
    let bytes = entries.reduce((sum, entry) => sum + entry.bytes, 0);
    for (const entry of entries.sort((one, other) => one.usedAt - other.usedAt)) {
      if (bytes <= maxBytes) return;
      if (entry.digest === newest || kept.has(entry.digest)) continue;
      verified.delete(entry.digest);
      // The statement goes first: without it, the other files do not count.
      for (const extension of ["json", "mjs", "map"]) {
        await rm(fileOf(entry.digest, extension), { force: true });
      }
      bytes -= entry.bytes;
    }
  }

  return {
    folder,
    read,

    async find(digest) {
      const now = new Date();
      const known = verified.get(digest);
      const isAsVerified = known !== undefined && known.identity === identityOf(digest);
      if (isAsVerified && now.getTime() - known.usedAt < USE_MS) return known.stored;
      const stored = isAsVerified ? known.stored : await verify(digest);
      if (stored === undefined) return undefined;
      if (known) known.usedAt = now.getTime();
      await utimes(fileOf(digest, "json"), now, now).catch(() => {});
      return stored;
    },

    async write(code, map) {
      const { digest } = code.statement;
      verifyCode(code, digest, publicKey);
      const { source, ...rest } = code;
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await writeBeside(fileOf(digest, "mjs"), source);
        if (map !== undefined) await writeBeside(fileOf(digest, "map"), map);
        await writeBeside(fileOf(digest, "json"), JSON.stringify(rest));
        await prune(digest);
      } catch (cause) {
        throw notWritten(folder, digest, cause as NodeJS.ErrnoException);
      }
      return remember(digest, code.manifest);
    },

    readMap: async (digest) =>
      isDigest(digest)
        ? await readFile(fileOf(digest, "map"), "utf8").catch(() => undefined)
        : undefined,

    keep(digests) {
      kept = new Set(digests);
    },
  };
}

function notWritten(folder: string, digest: string, cause: NodeJS.ErrnoException): CodeError {
  const why =
    cause.code === "ENOSPC" || cause.code === "EDQUOT"
      ? `the disk of ${folder} is full: make room there`
      : `${folder} cannot be written to (${cause.message})`;
  return new CodeError("CODE_UNAVAILABLE", `the code ${digest} cannot be kept: ${why}`, { cause });
}

/** The code in a folder by digest, with the time of its last use. */
async function usesOf(
  folder: string,
): Promise<{ digest: string; bytes: number; usedAt: number }[]> {
  const found = new Map<string, { digest: string; bytes: number; usedAt: number }>();
  for (const name of await readdir(folder)) {
    const [digest = ""] = name.split(".");
    if (!isDigest(digest)) continue;
    const file = await stat(path.join(folder, name)).catch(() => undefined);
    if (!file) continue;
    const entry = found.get(digest) ?? { digest, bytes: 0, usedAt: 0 };
    entry.bytes += file.size;
    if (name.endsWith(".json")) entry.usedAt = file.mtimeMs;
    found.set(digest, entry);
  }
  return [...found.values()];
}
