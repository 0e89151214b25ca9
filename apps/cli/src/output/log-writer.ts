import type { Cli } from "../cli.ts";

/** Writes the output of one step. */
export interface LogWriter {
  /** Resolves when a slow reader has taken it. */
  write(text: string): Promise<void>;
  /** Ends a last line that has no newline. */
  end(): Promise<void>;
}

/**
 * Creates a writer of output as it is. With a prefix, only whole lines are written, so that the lines of
 * several steps do not mix.
 *
 * @param prefix - Such as the step's name; undefined writes the bytes alone.
 */
export function createLogWriter(cli: Cli, prefix: string | undefined): LogWriter {
  if (prefix === undefined) return { write: (text) => cli.write(text), end: async () => {} };
  const head = `${cli.paint({ text: `${prefix} |`, colour: "cyan" })} `;
  let rest = "";
  return {
    async write(text) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      if (lines.length > 0) await cli.write(lines.map((line) => `${head}${line}\n`).join(""));
    },
    async end() {
      if (rest !== "") await cli.write(`${head}${rest}\n`);
      rest = "";
    },
  };
}
