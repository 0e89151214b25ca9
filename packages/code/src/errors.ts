/** The reason why a node does not use code. */
export type CodeErrorCode =
  /** The bytes do not match the digest: they were changed or cut off. */
  | "CODE_DIGEST_MISMATCH"
  /** There is no signature of the hub that this node joined. */
  | "CODE_SIGNATURE_REFUSED"
  /** The code cannot be fetched or written. */
  | "CODE_UNAVAILABLE"
  /** The code is larger than a bundle may be. */
  | "CODE_TOO_LARGE";

/** A node cannot use code. The message says why and what to do. */
export class CodeError extends Error {
  override readonly name = "CodeError";
  readonly code: CodeErrorCode;
  constructor(code: CodeErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
