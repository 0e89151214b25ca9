export type ArchiveErrorCode =
  /** What is read is no archive, or ends too early. */
  | "ARCHIVE_BROKEN"
  /** It holds something that could leave its folder, or that is neither a file, a folder nor a link. */
  | "ARCHIVE_UNSAFE"
  /** It has more entries, or more bytes, than `limits` allow. */
  | "ARCHIVE_TOO_LARGE"
  /** A folder that is packed has a link to somewhere else. */
  | "LINK_LEAVES_FOLDER"
  /** A file became shorter, or went away, while it was packed. */
  | "FILE_CHANGED";

/** A folder cannot be packed, or an archive cannot be unpacked. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError";
  readonly code: ArchiveErrorCode;
  /** What is wrong. It may quote names and links of the archive. */
  readonly why: string;
  /** What to do about it. It quotes nothing. */
  readonly fix: string;
  constructor(
    code: ArchiveErrorCode,
    { why, fix }: { why: string; fix: string },
    options?: ErrorOptions,
  ) {
    super(`${why}: ${fix}`, options);
    this.code = code;
    this.why = why;
    this.fix = fix;
  }
}
