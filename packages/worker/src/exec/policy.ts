import { accessSync, constants, readFileSync, statSync } from "node:fs";
import path from "node:path";

/** Which commands the owner of a machine lets it run: none, any, or the programs of a file. */
export type ExecPolicy = { kind: "off" } | { kind: "any" } | { kind: "programs"; file: string };

/**
 * Reads `LOOM_EXEC`.
 *
 * @throws TypeError
 */
export function parseExecPolicy(text: string): ExecPolicy {
  if (text === "off" || text === "any") return { kind: text };
  if (path.isAbsolute(text)) return { kind: "programs", file: text };
  throw new TypeError("is off, any, or the absolute path of a file that lists programs");
}

/** The programs that a machine runs, the variables that `--env` may set for them, and whether files come with them. */
interface Allowlist {
  programs: ReadonlySet<string>;
  variables: ReadonlySet<string>;
  /** Of `in` and `out` those that are allowed. */
  files: ReadonlySet<string>;
}

/** How large a list may be, in bytes. */
const MAX_BYTES = 65_536;

/** The list of programs cannot be used, so nothing runs. */
class ExecListError extends Error {
  override readonly name = "ExecListError";
  readonly code = "EXEC_LIST_UNUSABLE";
}

/**
 * Reads a list of programs: one absolute path a line, `env NAME` for a variable, `files in` and `files out`, and `#` for
 * a remark.
 *
 * @throws ExecListError when it cannot be read, others may write to it, or a line is none of these.
 */
function readAllowlist(file: string): Allowlist {
  const programs = new Set<string>();
  const variables = new Set<string>();
  const files = new Set<string>();
  let text: string;
  try {
    const { mode, size, uid } = statSync(file);
    if (size > MAX_BYTES) throw new Error(`it holds ${size} bytes of at most ${MAX_BYTES}`);
    const self = process.getuid?.();
    if (self !== undefined && uid !== self && uid !== 0) {
      throw new Error("it belongs to another user: chown it to the agent's user or to root");
    }
    if (process.platform !== "win32" && (mode & 0o022) !== 0) {
      throw new Error(`others may write to it: chmod go-w ${file}`);
    }
    text = readFileSync(file, "utf8");
  } catch (cause) {
    const why = (cause as Error).message;
    throw new ExecListError(`the list of programs ${file} cannot be used: ${why}`, { cause });
  }
  for (const [index, whole] of text.split("\n").entries()) {
    const line = whole.trim();
    if (line === "" || line.startsWith("#")) continue;
    const variable = /^env\s+([A-Za-z_]\w*)$/.exec(line)?.[1];
    const direction = /^files\s+(in|out)$/.exec(line)?.[1];
    if (variable !== undefined) variables.add(variable);
    else if (direction !== undefined) files.add(direction);
    else if (isPlain(line)) programs.add(line);
    else {
      throw new ExecListError(
        `the list of programs ${file} cannot be used: line ${index + 1} is neither an absolute path nor env NAME, files in or files out`,
      );
    }
  }
  return { programs, variables, files };
}

/** Whether a path is absolute and names its file in one way only: without `.`, `..` and doubled slashes. */
const isPlain = (file: string): boolean =>
  path.isAbsolute(file) && path.normalize(file) === file && !file.endsWith(path.sep);

/**
 * Decides by the policy whether a command may run.
 *
 * With a list, the program is found first, in `PATH` or by its absolute path, and what is found is compared with the
 * list as text: links are not followed, so a link in a folder of the system is what its name says.
 *
 * @param options.path - The folders to look in, as in `PATH`.
 * @returns The file to start; or the reason why not, as a sentence about the node.
 */
export function decideExec(
  policy: ExecPolicy,
  {
    argv,
    env,
    path: folders,
    hasInput,
    hasOutput,
  }: {
    argv: readonly string[];
    env: Readonly<Record<string, string>>;
    path: string;
    hasInput: boolean;
    hasOutput: boolean;
  },
): { file: string } | { refused: string } {
  const [program = ""] = argv;
  if (policy.kind === "off") return { refused: "runs no commands (LOOM_EXEC is off)" };
  if (policy.kind === "any") return { file: program };
  let list: Allowlist;
  try {
    list = readAllowlist(policy.file);
  } catch (error) {
    return { refused: `runs no commands: ${(error as Error).message}` };
  }
  const file = program.includes("/") ? program : findIn(folders, program);
  if (file === undefined) return { refused: `has no program ${program} in its PATH` };
  if (!list.programs.has(file))
    return { refused: `does not run ${file}: ${policy.file} has it not` };
  const variable = Object.keys(env).find(
    (name) => !list.variables.has(name) && !/^LOOM_(INDEX|COUNT)$/.test(name),
  );
  if (variable !== undefined) {
    return {
      refused: `takes no variable ${variable}: ${policy.file} has no line "env ${variable}"`,
    };
  }
  if (hasInput && !list.files.has("in")) {
    return { refused: `takes no files: ${policy.file} has no line "files in"` };
  }
  if (hasOutput && !list.files.has("out")) {
    return { refused: `gives no files: ${policy.file} has no line "files out"` };
  }
  return { file };
}

/** The first file of this name that may be run, as a shell finds it. Only absolute folders count. */
function findIn(folders: string, program: string): string | undefined {
  return folders
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, program))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK);
        return statSync(file).isFile();
      } catch {
        return false;
      }
    });
}
