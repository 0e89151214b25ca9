import type { Argument, Command } from "./define-commands.ts";
import { quote, unquote } from "./quote.ts";

/**
 * How a command travels. SSH carries one string, which the login shell on the node reads; where a
 * gate is installed, sshd runs the gate instead and hands it the string. One line serves both:
 *
 *     exec sh -c '<WRAPPER>' 'loom-ssh' '1' '<limit>' '<name>' '<arguments as JSON>' '<argv>'…
 *
 * Without a gate, `sh` runs the constant wrapper with the quoted words as its parameters: nothing
 * of a command is ever part of a script. A gate reads limit, name and arguments, and ignores the rest.
 */
const PROTOCOL = ["loom-ssh", "1"] as const;

/** How long a command may take to end after SIGTERM, until SIGKILL. */
export const GRACE_MS = 2_000;

/**
 * Runs "$@" and owns its process group.
 *
 * sshd makes the shell the leader of a group, and `exec` keeps it; where a server does not, there
 * is no group of that number and `kill` fails harmlessly. The group is ended when stdin ends (the
 * client closed its side, or the connection is gone) and at the limit: SIGTERM, then SIGKILL once
 * the leader has ended or the grace is over. Without a terminal, sshd itself would end nothing.
 *
 * `(exec "$@")`, because a plain "$@" could also be a builtin or a function. What a command leaves
 * in the background gets a SIGTERM, and so do the two that wait here: the trap is set after they
 * were started, because a signal that meets a new process with its parent's trap is lost. Without
 * `--`, which busybox does not know.
 */
const WRAPPER = `stopping=
limit=$2
shift 4
stop() { trap '' TERM; kill -TERM -$$; sleep ${GRACE_MS / 1_000}; kill -KILL -$$; }
exec 3<&0
(cat <&3; stop) >/dev/null 2>&1 &
(exec 3<&-; sleep "$limit"; stop) >/dev/null 2>&1 &
trap 'stopping=1' TERM
(exec "$@") </dev/null 3<&-
status=$?
if [ -n "$stopping" ]; then kill -KILL -$$; fi
trap '' TERM
kill -TERM -$$
exit "$status"`;

const PREFIX = `exec sh -c ${quote(WRAPPER)} `;

/** sshd passes the line on in an environment variable, which holds 128 KiB on Linux. */
export const MAX_LINE_BYTES = 64 * 1_024;

/** What a gate needs of a line. */
export interface Request {
  readonly name: string;
  readonly args: readonly Argument[];
  readonly limitSeconds: number;
}

/** @param limitSeconds - After which the node ends the command by itself. */
export function printLine({ name, args, argv }: Command, limitSeconds: number): string {
  const words = [...PROTOCOL, String(limitSeconds), name, JSON.stringify(args), ...argv];
  return PREFIX + words.map(quote).join(" ");
}

/**
 * Reads a line without a shell.
 *
 * @returns `null` for whatever `printLine` would not have made.
 */
export function parseLine(line: string): Request | null {
  // Another release of this package may send another wrapper, which a gate does not run anyway.
  const [, quoted] = /^exec sh -c (.*)$/s.exec(line) ?? [];
  if (quoted === undefined || Buffer.byteLength(line) > MAX_LINE_BYTES) return null;
  const [, program, version, limit, name, json] = unquote(quoted) ?? [];
  if (program !== PROTOCOL[0] || version !== PROTOCOL[1]) return null;
  if (limit === undefined || name === undefined || json === undefined) return null;
  if (!/^[1-9]\d{0,4}$/.test(limit)) return null;
  const args = parseArguments(json);
  return args === null ? null : { name, args, limitSeconds: Number(limit) };
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
