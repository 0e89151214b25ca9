/**
 * One thing that a step requires or prefers.
 *
 * So far a clause is a tag, and a node meets it by offering exactly the same text: `docker`, and
 * also `gpu.vram-gb=24`, which is compared as a whole and not as a number.
 */
export interface Clause {
  readonly kind: "tag";
  readonly tag: string;
}

const MAX_LENGTH = 200;

/** A text is not a clause. */
export class InvalidClauseError extends Error {
  override readonly name = "InvalidClauseError";
  readonly code = "INVALID_CLAUSE";
  readonly clause: string;
  constructor(clause: string, options?: ErrorOptions) {
    super(
      `${JSON.stringify(clause)} is not a clause; write 1 to ${MAX_LENGTH} printable characters without spaces, as in "has-gpu"`,
      options,
    );
    this.clause = clause;
  }
}

/**
 * Reads a clause.
 *
 * @throws InvalidClauseError when it is empty, too long, or has spaces or control characters.
 */
export function parseClause(text: string): Clause {
  if (!/^[^\s\p{C}]+$/u.test(text) || text.length > MAX_LENGTH) throw new InvalidClauseError(text);
  return { kind: "tag", tag: text };
}
