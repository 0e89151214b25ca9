/**
 * Quotes one word for a POSIX shell, so that the shell passes it on as it is.
 *
 * Always in single quotes, in which no character but `'` means anything. What looks harmless is
 * quoted too: an unquoted `A=b` is an assignment, an unquoted `if` or alias is not a word.
 *
 * @throws TypeError for NUL, which no argument can hold, and for half a surrogate pair, which
 * would arrive as another character.
 */
export function quote(word: string): string {
  if (word.includes("\0")) throw new TypeError("an argument cannot hold NUL");
  if (!word.isWellFormed()) throw new TypeError("the text is not well-formed Unicode");
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Reads a line of what `quote` made, words parted by one space: its exact inverse, and no shell.
 *
 * @returns `null` for any other line, whatever a shell would make of it.
 */
export function unquote(line: string): string[] | null {
  if (!/^'[^']*'(?:\\''[^']*')*(?: '[^']*'(?:\\''[^']*')*)*$/.test(line)) return null;
  return [...line.matchAll(/'[^']*'(?:\\''[^']*')*/g)].map(([word]) =>
    word.slice(1, -1).replaceAll("'\\''", "'"),
  );
}
