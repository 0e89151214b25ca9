import type { Argument, Command } from "./define-commands.ts";
import { quote, unquote } from "./quote.ts";

/**
 * How a command is sent. SSH carries one string, which the login shell on the node reads. If a gate
 * is installed, sshd runs the gate instead and passes it the string. One line serves both:
 *
 *    exec sh -c '<WRAPPER>' 'loom-ssh' '1' '<nonce>' '<limit>' '<name>' '<arguments as JSON>' '<argv>'…
 *
 * Without a gate, `sh` runs the constant wrapper with the quoted words as its parameters, so no
 * part of a command is ever part of a script. A gate reads nonce, limit, name and arguments, and
 * ignores the rest.
 */
const PROTOCOL = ["loom-ssh", "1"] as const;

/** How long a command may take to end after SIGTERM, before SIGKILL. */
export const GRACE_MS = 2_000;

/**
 * Returns the line that wrapper and gate print first, on stdout and on stderr. The login shell may
 * print anything before it (under sshd, bash reads `.bashrc` even for a command). Only what follows
 * the line is output of the command.
 *
 * Each command has a new nonce. A shell that traces its commands prints the nonce too, but never
 * directly after this word.
 */
export const beginLine = (nonce: string): string => `${PROTOCOL[0]} ${nonce}\n`;

/**
 * Runs "$@" and controls its process group.
 *
 * sshd makes the shell the leader of a group, and `exec` keeps it. On a server that does not, no
 * group has that number, and `kill` fails harmlessly. The wrapper ends the group when stdin ends
 * (the client closed its side, or the connection is gone) and at the limit. It sends SIGTERM, and
 * SIGKILL once the leader has ended or the grace is over. Without a terminal, sshd itself would end
 * nothing.
 *
 * It uses `(exec "$@")`, because a plain "$@" could be a builtin or a function. A command's
 * background processes get a SIGTERM, and so do the two processes that wait here. The trap is set
 * after they were started, because a signal that reaches a new process with its parent's trap is
 * lost. There is no `--`, because busybox does not know it.
 */
const WRAPPER = `stopping=
nonce=$2
limit=$3
shift 5
stop() { trap '' TERM; kill -TERM -$$; sleep ${GRACE_MS / 1_000}; kill -KILL -$$; }
exec 3<&0
(cat <&3; stop) >/dev/null 2>&1 &
(exec 3<&-; sleep "$limit"; stop) >/dev/null 2>&1 &
trap 'stopping=1' TERM
printf '${PROTOCOL[0]} %s\\n' "$nonce"
printf '${PROTOCOL[0]} %s\\n' "$nonce" >&2
(exec "$@") </dev/null 3<&-
status=$?
if [ -n "$stopping" ]; then kill -KILL -$$; fi
trap '' TERM
kill -TERM -$$
exit "$status"`;

const PREFIX = `exec sh -c ${quote(WRAPPER)} `;

/** sshd passes the line on in an environment variable, which can hold 128 KiB on Linux. */
export const MAX_LINE_BYTES = 64 * 1_024;

/** The part of a line that a gate needs. */
export interface Request {
  readonly nonce: string;
  readonly name: string;
  readonly args: readonly Argument[];
  readonly limitSeconds: number;
}

export interface LineOptions {
  /** The time after which the node itself ends the command. */
  readonly limitSeconds: number;
  /** 32 hexadecimal digits. */
  readonly nonce: string;
}

export function printLine(
  { name, args, argv }: Command,
  { limitSeconds, nonce }: LineOptions,
): string {
  const words = [...PROTOCOL, nonce, String(limitSeconds), name, JSON.stringify(args), ...argv];
  return PREFIX + words.map(quote).join(" ");
}

/**
 * Parses a line without a shell.
 *
 * @returns `null` for any line that `printLine` does not produce.
 */
export function parseLine(line: string): Request | null {
  // Another release of this package may send another wrapper. A gate does not run the wrapper
  // anyway.
  const [, quoted] = /^exec sh -c (.*)$/s.exec(line) ?? [];
  if (quoted === undefined || Buffer.byteLength(line) > MAX_LINE_BYTES) return null;
  const [, program, version, nonce, limit, name, json] = unquote(quoted) ?? [];
  if (program !== PROTOCOL[0] || version !== PROTOCOL[1]) return null;
  if (nonce === undefined || limit === undefined || name === undefined || json === undefined)
    return null;
  if (!/^[0-9a-f]{32}$/.test(nonce) || !/^[1-9]\d{0,4}$/.test(limit)) return null;
  const args = parseArguments(json);
  return args === null ? null : { nonce, name, args, limitSeconds: Number(limit) };
}

function parseArguments(json: string): readonly Argument[] | null {
  try {
    const args: unknown = JSON.parse(json);
    return Array.isArray(args) && args.every(isArgument) ? args : null;
  } catch {
    return null;
  }
}

const isArgument = (value: unknown): value is Argument =>
  ["string", "number", "boolean"].includes(typeof value);
