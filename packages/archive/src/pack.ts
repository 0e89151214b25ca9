import { createWriteStream, type Stats } from "node:fs";
import { lstat, opendir, readlink, realpath, rm } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { limits } from "@loom/workflow";
import { Pack } from "tar";
import { ArchiveError } from "./archive-error.ts";
import { baseOf, leavesFolder, problemOf, WHOLE } from "./paths.ts";

/** What is in an archive. */
export interface Packed {
  /** Files, folders and links. */
  readonly entries: number;
  /** The sizes of the files, together. */
  readonly bytes: number;
}

/** Read ahead of each file: node-tar's own 16 MiB would be four times in memory. */
const READ_BYTES = 262_144;

/**
 * Packs a folder, or some paths of it, into a new file: a tar archive, compressed with gzip.
 *
 * Files, folders and links are packed. Sockets, pipes and devices are left out. A file with several names is packed once for
 * each. The same content gives the same bytes.
 *
 * @param options.paths - Paths below the folder that exist; by default everything in it. A link has to stay below the path with which
 *   it is packed.
 * @throws ArchiveError; the system's error when something cannot be read, or `to` exists.
 */
export async function pack(
  folder: string,
  { to, paths = [WHOLE], signal }: { to: string; paths?: readonly string[]; signal?: AbortSignal },
): Promise<Packed> {
  const entries: string[] = [];
  let bytes = 0;
  const root = await realpath(folder);
  // Otherwise node-tar asks again for each of them.
  const statCache = new Map<string, Stats>();
  for await (const { entry, stats } of walk(root, paths)) {
    signal?.throwIfAborted();
    entries.push(entry);
    // node-tar would pack the second name of a file as a link to the first.
    stats.nlink = 1;
    statCache.set(path.join(root, entry).replaceAll(path.sep, "/"), stats);
    if (stats.isFile()) bytes += stats.size;
    checkLimits({ entries: entries.length, bytes });
  }
  const archive = new Pack({
    cwd: root,
    statCache,
    portable: true,
    strict: true,
    noDirRecurse: true,
    maxReadSize: READ_BYTES,
  });
  for (const entry of entries) archive.add(entry);
  archive.end();
  const file = createWriteStream(to, { flags: "wx", mode: 0o600 });
  try {
    await pipeline(archive, createGzip({ level: 1 }), file, { ...(signal && { signal }) });
  } catch (error) {
    signal?.throwIfAborted();
    if ((error as NodeJS.ErrnoException).code === "EEXIST") throw error;
    await rm(to, { force: true });
    throw toChanged(error as NodeJS.ErrnoException);
  }
  return { entries: entries.length, bytes };
}

interface Found {
  entry: string;
  stats: Stats;
}

/** Finds what is to be packed, folders before what is in them, in the order of names. */
async function* walk(folder: string, paths: readonly string[]): AsyncGenerator<Found> {
  for (const base of paths) {
    if (base !== WHOLE) {
      const problem = problemOf(base);
      if (problem !== undefined) throw new TypeError(`the path ${base} ${problem}`);
      const parent = path.dirname(path.join(folder, base));
      if ((await realpath(parent)) !== parent) throw leaves(path.dirname(base), "elsewhere");
    }
    yield* visit(base);
  }

  async function* visit(entry: string): AsyncGenerator<Found> {
    const place = path.join(folder, entry);
    const stats = await lstat(place);
    if (stats.isSymbolicLink()) {
      const target = await readlink(place);
      const base = baseOf(entry, paths) ?? WHOLE;
      if (leavesFolder(entry, target, base)) throw leaves(entry, target);
      yield { entry, stats };
    } else if (stats.isFile()) yield { entry, stats };
    else if (stats.isDirectory()) {
      yield { entry, stats };
      const names: string[] = [];
      for await (const { name } of await opendir(place)) {
        names.push(name);
        checkLimits({ entries: names.length, bytes: 0 });
      }
      for (const name of names.sort()) yield* visit(entry === WHOLE ? name : `${entry}/${name}`);
    }
  }
}

const leaves = (link: string, target: string): ArchiveError =>
  new ArchiveError("LINK_LEAVES_FOLDER", {
    why: `the link ${link} leads to ${target}, out of what is packed`,
    fix: "put what it leads to in its place, or leave it out",
  });

/** @throws ArchiveError */
export function checkLimits({ entries, bytes }: Packed): void {
  if (entries > limits.archiveEntries) {
    throw new ArchiveError("ARCHIVE_TOO_LARGE", {
      why: `there are more than ${limits.archiveEntries} files and folders`,
      fix: "send fewer, or an archive of your own",
    });
  }
  if (bytes > limits.archiveBytes) {
    throw new ArchiveError("ARCHIVE_TOO_LARGE", {
      why: `the files hold more than ${limits.archiveBytes} bytes together`,
      fix: "send less",
    });
  }
}

function toChanged(error: NodeJS.ErrnoException): Error {
  const isChanged = error.code === "ENOENT" || error.code === "EOF";
  if (!isChanged) return error;
  return new ArchiveError(
    "FILE_CHANGED",
    {
      why: "something in the folder changed while it was packed",
      fix: "pack it when it is complete",
    },
    { cause: error },
  );
}
