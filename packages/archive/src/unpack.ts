import { once } from "node:events";
import { createReadStream, mkdirSync, utimesSync, writeFileSync } from "node:fs";
import { mkdir, open, rm, symlink } from "node:fs/promises";
import path from "node:path";
import { createGunzip } from "node:zlib";
import { limits } from "@loom/workflow";
import { Parser, type ReadEntry } from "tar";
import { ArchiveError } from "./archive-error.ts";
import { checkLimits, type Packed } from "./pack.ts";
import { baseOf, isBelow, leavesFolder, problemOf, WHOLE } from "./paths.ts";

/** A file up to this size is written at once. Thousands of small ones take a tenth of the time so. */
const AT_ONCE_BYTES = 262_144;
/** The paths and targets of all links, which are in memory until they are made. */
const LINKS_LENGTH = 67_108_864;
/** What headers and padding may add to each entry: names of the length that a system takes. */
const OVERHEAD_BYTES = 16_384;

/**
 * Unpacks an archive that somebody else may have made into a new folder. Nothing is written outside of it, whatever the archive says.
 *
 * What keeps it so: the folder is new, so nothing in it leads elsewhere. Each path is checked. Links are made when all files
 * and folders are there, so no file is written through one, and each has to stay below its own base (see `leavesFolder`). Other types,
 * such as devices and second names of a file, are refused. What is unpacked is counted before it is written, with the folders
 * that only its paths name.
 *
 * If it fails, nothing is left.
 *
 * @param options.to - The folder, which must not exist yet.
 * @param options.only - The paths that are expected; an archive with anything else is refused.
 * @throws ArchiveError; the system's error when something cannot be read or written.
 */
export async function unpack(
  archive: string,
  { to, only = [WHOLE], signal }: { to: string; only?: readonly string[]; signal?: AbortSignal },
): Promise<Packed> {
  await mkdir(to, { mode: 0o700 });
  try {
    return await unpackInto(to, { archive, only, signal });
  } catch (error) {
    await rm(to, { recursive: true, force: true });
    signal?.throwIfAborted();
    throw isOfFormat(error)
      ? new ArchiveError(
          "ARCHIVE_BROKEN",
          {
            why: `what should be an archive cannot be read (${(error as Error).message})`,
            fix: "make it again",
          },
          { cause: error },
        )
      : error;
  }
}

async function unpackInto(
  to: string,
  {
    archive,
    only,
    signal,
  }: { archive: string; only: readonly string[]; signal: AbortSignal | undefined },
): Promise<Packed> {
  const links: { place: string; target: string }[] = [];
  let linksLength = 0;
  const packed = { entries: 0, bytes: 0 };
  const folders = new Set([WHOLE]);

  function makeFolder(name: string, mode = 0o777): void {
    if (folders.has(name)) return;
    makeParents(name);
    try {
      mkdirSync(path.join(to, name), { mode });
    } catch (error) {
      refuseDouble(error as NodeJS.ErrnoException);
    }
    folders.add(name);
  }

  /** A path of a few bytes can name a thousand folders. */
  function makeParents(name: string): void {
    const parent = path.posix.dirname(name);
    if (folders.has(parent)) return;
    // `pack` does not count those above the paths that it was given.
    if (!isOnTheWay(parent, only)) packed.entries += 1;
    checkLimits(packed);
    makeFolder(parent);
  }

  async function take(entry: ReadEntry): Promise<void> {
    const name = entry.path.replace(/\/$/, "");
    const place = path.join(to, name);
    packed.entries += 1;
    packed.bytes += entry.size;
    checkLimits(packed);
    // A header for all entries may say a size, and the parser reads by another one.
    if (entry.size !== (entry.header.size ?? 0)) throw unsafe(`its entry ${name} has two sizes`);
    if (entry.type === "Directory" && name === WHOLE) return void entry.resume();
    checkPath(name, { isFolder: entry.type === "Directory", only });
    const isFile = entry.type === "File" || entry.type === "OldFile";
    if (entry.type === "Directory") {
      makeFolder(name, ((entry.mode ?? 0o777) & 0o777) | 0o700);
      return void entry.resume();
    }
    makeParents(name);
    if (isFile) return await write(entry, place);
    if (entry.type === "SymbolicLink") {
      const target = entry.linkpath ?? "";
      if (leavesFolder(name, target, baseOf(name, only) ?? WHOLE)) {
        throw unsafe(`its link ${name} leads out of the folder, to ${target}`);
      }
      linksLength += place.length + target.length;
      if (linksLength > LINKS_LENGTH) throw tooManyLinks();
      links.push({ place, target });
    } else {
      throw unsafe(`its entry ${name} is a ${entry.type}, and no file, folder or symbolic link`);
    }
    entry.resume();
  }

  await parse(archive, take, signal);
  for (const { place, target } of links) await symlink(target, place).catch(refuseDouble);
  return packed;
}

/** @throws ArchiveError `ARCHIVE_UNSAFE` */
function checkPath(
  name: string,
  { isFolder, only }: { isFolder: boolean; only: readonly string[] },
): void {
  const problem = problemOf(name);
  if (problem !== undefined) throw unsafe(`its path ${JSON.stringify(name)} ${problem}`);
  const isExpected = isBelow(name, only) || (isFolder && isOnTheWay(name, only));
  if (!isExpected) throw unsafe(`nobody asked for its entry ${name}`);
}

const isOnTheWay = (folder: string, only: readonly string[]): boolean =>
  only.some((base) => base.startsWith(`${folder}/`));

/** Writes a file. Of its mode the permissions are kept, without set-user-id and the like. */
async function write(entry: ReadEntry, place: string): Promise<void> {
  const mode = ((entry.mode ?? 0o600) & 0o777) | 0o600;
  if (entry.size <= AT_ONCE_BYTES) {
    const content = await entry.concat();
    try {
      writeFileSync(place, content, { flag: "wx", mode });
    } catch (error) {
      refuseDouble(error as NodeJS.ErrnoException);
    }
    if (entry.mtime) utimesSync(place, entry.mtime, entry.mtime);
    return;
  }
  const handle = await open(place, "wx", mode).catch(refuseDouble);
  try {
    for await (const chunk of entry) await handle.writeFile(chunk);
    if (entry.mtime) await handle.utimes(entry.mtime, entry.mtime);
  } finally {
    await handle.close();
  }
}

/** Reads an archive, and has its entries taken one after the other. */
async function parse(
  file: string,
  take: (entry: ReadEntry) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const parser = new Parser({ strict: true, zstd: false });
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  let taken = Promise.resolve();
  let current: ReadEntry | undefined;
  let isOver = false;
  parser.on("error", failed.reject);
  parser.on("eof", () => {
    isOver = true;
  });
  parser.on("entry", (entry: ReadEntry) => {
    current = entry;
    taken = taken.then(() => take(entry));
    taken.catch(failed.reject);
  });
  // Types that the parser does not know, and descriptions longer than it reads.
  parser.on("ignoredEntry", ({ path: name }: ReadEntry) =>
    failed.reject(unsafe(`its entry ${name} is of an unknown type`)),
  );
  const source = createReadStream(file, { ...(signal && { signal }) });
  const content = createGunzip();
  source.on("error", (error) => content.destroy(error));
  const feed = async () => {
    let bytes = 0;
    let head = "";
    for await (const chunk of source.pipe(content) as AsyncIterable<Buffer>) {
      // The parser would decompress an archive within the archive, uncounted. The first chunk may be a byte.
      if (head.length < 4) head += chunk.toString("hex", 0, 2);
      if (head.startsWith("1f8b")) throw broken("compressed twice");
      bytes += chunk.length;
      checkLimits({
        entries: 0,
        bytes: bytes - Math.min(bytes, limits.archiveEntries * OVERHEAD_BYTES),
      });
      // It would keep in memory what comes after the end.
      if (isOver) break;
      if (!parser.write(chunk)) await once(parser, "drain");
    }
    const ended = once(parser, "end");
    parser.end();
    await ended;
    await taken;
  };
  try {
    await Promise.race([feed(), failed.promise]);
  } catch (error) {
    // What waits for the rest of an entry has to end before its folder is removed.
    current?.destroy(error);
    await taken.catch(() => {});
    throw error;
  } finally {
    source.destroy();
    content.destroy();
  }
}

const unsafe = (what: string): ArchiveError =>
  new ArchiveError("ARCHIVE_UNSAFE", {
    why: `the archive is not unpacked, because ${what}`,
    fix: "look at what made it",
  });

const tooManyLinks = (): ArchiveError =>
  new ArchiveError("ARCHIVE_TOO_LARGE", {
    why: "the archive has too many links, or too long ones",
    fix: "send fewer",
  });

const broken = (what: string): ArchiveError =>
  new ArchiveError("ARCHIVE_BROKEN", { why: `the archive is ${what}`, fix: "make it again" });

function refuseDouble(error: NodeJS.ErrnoException): never {
  throw error.code === "EEXIST" ? unsafe("two of its entries have one path") : error;
}

/** Whether an error is one of zlib or of the parser. */
const isOfFormat = (error: unknown): boolean =>
  /^(Z_|TAR_)/.test(String((error as NodeJS.ErrnoException).code ?? "")) ||
  "tarCode" in (error as object);
