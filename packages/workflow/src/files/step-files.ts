import { limits } from "../limits.ts";

/**
 * A stored file, as steps pass it on: in their results, in the input of a run. It says what the file is; who may read it follows
 * from the run that it belongs to.
 */
export type FileRef = {
  /** A plain name, without folders. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** SHA-256 in hex. */
  readonly sha256: string;
};

/** What a step may store: the path of a file, bytes, or a stream of them. */
export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array | string>;

/** The files of a run. */
export interface StepFiles {
  /**
   * Stores a file, which every step after this one can read on its machine. Return the result, or a value that contains it: a
   * file that no result names goes a day after the run.
   *
   * @param name - A plain name, such as `report.pdf`.
   * @param content - The path of a file, which stays where it is; or bytes, or a stream of them.
   * @throws An error with a `code`: `FILE_TOO_LARGE`, `FILE_NAME_INVALID`, `STORE_FULL`, `HUB_UNREACHABLE`,
   *   `FILE_CHANGED`; docs/files.md has them all.
   */
  put(name: string, content: FileContent): Promise<FileRef>;
  /**
   * Fetches a file to this machine and checks it.
   *
   * @param options.to - Where to put it, a path that does not exist yet. By default it is in a folder that goes with the
   *   attempt.
   * @returns Its path.
   * @throws An error with a `code`: `FILE_NOT_FOUND`, `FILE_DIGEST_MISMATCH`, `HUB_UNREACHABLE`.
   */
  get(ref: FileRef, options?: { to?: string; as?: "path" }): Promise<string>;
  /** Fetches a file, checks it, and reads it piece by piece. */
  get(ref: FileRef, options: { as: "stream" }): Promise<AsyncIterable<Uint8Array>>;
}

/** Says why a text cannot name a file; undefined: it can. The database has the same rule: `loom_check_file`. */
export function problemOfFileName(name: string): string | undefined {
  const bytes = bytesOf(name);
  if (bytes === 0 || bytes > limits.fileNameBytes) {
    return `has ${bytes} bytes, of 1 to ${limits.fileNameBytes}`;
  }
  if (name === "." || name === "..") return "names a folder";
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (/[/\\\u0000-\u001f\u007f]/.test(name)) return "has a slash or a control character";
  return /\p{Surrogate}/u.test(name) ? "is no valid Unicode" : undefined;
}

/** The name that a file has while it arrives. It is no longer than a name may be, also where the file's own is that long. */
export function unfinishedNameOf(name: string): string {
  const most = limits.fileNameBytes - bytesOf(UNFINISHED);
  const characters = [...name];
  while (bytesOf(characters.join("")) > most) characters.pop();
  return characters.join("") + UNFINISHED;
}
const UNFINISHED = ".loom-part";

const bytesOf = (text: string): number => new TextEncoder().encode(text).length;

/**
 * Says why a text is no path below a folder; undefined: it is one. Only one form of a path is accepted: names between single
 * slashes, none of them `.` or `..`.
 */
export function problemOfPath(path: string): string | undefined {
  if (path === "") return "is empty";
  if (path.includes("\u0000")) return "has a character U+0000";
  if (path.startsWith("/")) return "is absolute";
  const names = path.split("/");
  if (names.includes("..")) return "leads out of its folder";
  if (names.some((name) => name === "" || name === ".")) return "is not in its shortest form";
  return undefined;
}

/** Whether a value is a file that a step has stored, by its form. */
export const isFileRef = (value: unknown): value is FileRef => {
  const { name, size, sha256 } = (value ?? {}) as Partial<FileRef>;
  return (
    typeof name === "string" &&
    problemOfFileName(name) === undefined &&
    Number.isSafeInteger(size) &&
    Number(size) >= 0 &&
    typeof sha256 === "string" &&
    /^[0-9a-f]{64}$/.test(sha256)
  );
};
