/**
 * Quotes one word for a POSIX shell, so that the shell passes it on unchanged.
 *
 * It always uses single quotes, in which only `'` has a meaning. Harmless words are quoted too: an
 * unquoted `A=b` is an assignment, and an unquoted `if` or alias is not a plain word.
 *
 * @throws TypeError for NUL, which no argument can contain, and for half a surrogate pair, which
 * would arrive as another character.
 */
export function quote(word: string): string {
  if (word.includes("\0")) throw new TypeError("an argument cannot hold NUL");
  if (!word.isWellFormed()) throw new TypeError("the text is not well-formed Unicode");
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Parses a line of quoted words with one space between them. It is the exact inverse of `quote`,
 * without a shell.
 *
 * @returns `null` for any other line, even if a shell would accept it.
 */
export function unquote(line: string): string[] | null {
  if (!/^'[^']*'(?:\\''[^']*')*(?: '[^']*'(?:\\''[^']*')*)*$/.test(line)) return null;
  return [...line.matchAll(/'[^']*'(?:\\''[^']*')*/g)].map(([word]) =>
    word.slice(1, -1).replaceAll("'\\''", "'"),
  );
}
