/** An operation, or a set of them, cannot work. Thrown where it is defined. */
export class CommandDefinitionError extends Error {
  override readonly name = "CommandDefinitionError";
  readonly code = "COMMAND_DEFINITION";
  readonly command: string;
  constructor(command: string, problem: string, options?: ErrorOptions) {
    super(`command ${JSON.stringify(command)}: ${problem}`, options);
    this.command = command;
  }
}

/** The arguments do not fit the operation. Nothing was sent. */
export class InvalidArgumentsError extends Error {
  override readonly name = "InvalidArgumentsError";
  readonly code = "INVALID_ARGUMENTS";
  readonly command: string;
  constructor(command: string, problems: readonly string[], options?: ErrorOptions) {
    super(`${command} does not take these arguments: ${problems.join("; ")}`, options);
    this.command = command;
  }
}

/** The command to run was not made by `defineCommands`. */
export class CommandNotAllowedError extends Error {
  override readonly name = "CommandNotAllowedError";
  readonly code = "COMMAND_NOT_ALLOWED";
  constructor() {
    super("only commands of defineCommands can be run: define an operation, and call it");
  }
}

/**
 * Why a private key was not used.
 *
 * - `KEY_MISSING`: the file does not exist.
 * - `KEY_UNREADABLE`: the file cannot be read.
 * - `KEY_EXPOSED`: other users can read or change it.
 * - `KEY_ENCRYPTED`: it needs a passphrase.
 * - `KEY_INVALID`: it is not a private key.
 */
export type KeyErrorCode =
  | "KEY_MISSING"
  | "KEY_UNREADABLE"
  | "KEY_EXPOSED"
  | "KEY_ENCRYPTED"
  | "KEY_INVALID";

/** The private key cannot be used. Another key, or an agent, is never tried instead. */
export class KeyError extends Error {
  override readonly name = "KeyError";
  readonly code: KeyErrorCode;
  readonly file: string;
  constructor(message: string, facts: { code: KeyErrorCode; file: string; cause?: unknown }) {
    super(message, { cause: facts.cause });
    this.code = facts.code;
    this.file = facts.file;
  }
}

/**
 * Why a host key was not accepted.
 *
 * - `HOST_KEY_UNKNOWN`: no key is recorded for the node.
 * - `HOST_KEY_CHANGED`: another key is recorded.
 * - `HOST_KEY_REVOKED`: the key is marked as revoked.
 * - `KNOWN_HOSTS_UNREADABLE`: the record cannot be read.
 */
export type HostKeyErrorCode =
  | "HOST_KEY_UNKNOWN"
  | "HOST_KEY_CHANGED"
  | "HOST_KEY_REVOKED"
  | "KNOWN_HOSTS_UNREADABLE";

/** The machine at the address did not prove that it is the node. Nothing was sent to it. */
export class HostKeyError extends Error {
  override readonly name = "HostKeyError";
  readonly code: HostKeyErrorCode;
  readonly node: string;
  /** The key that the machine showed, as `SHA256:…`; `null` if it showed none. */
  readonly fingerprint: string | null;
  constructor(
    message: string,
    facts: { code: HostKeyErrorCode; node: string; fingerprint: string | null; cause?: unknown },
  ) {
    super(message, { cause: facts.cause });
    this.code = facts.code;
    this.node = facts.node;
    this.fingerprint = facts.fingerprint;
  }
}

/**
 * Why there is no connection.
 *
 * - `SSH_UNREACHABLE`: no server answers at the address in time.
 * - `SSH_ADDRESS`: the address is not an IP address.
 * - `SSH_AUTH`: the node does not accept the key for the user.
 * - `SSH_PROTOCOL`: the server does not speak SSH as this client needs it.
 */
export type ConnectErrorCode = "SSH_UNREACHABLE" | "SSH_ADDRESS" | "SSH_AUTH" | "SSH_PROTOCOL";

/** The connection to the node failed. */
export class ConnectError extends Error {
  override readonly name = "ConnectError";
  readonly code: ConnectErrorCode;
  readonly node: string;
  constructor(message: string, facts: { code: ConnectErrorCode; node: string; cause?: unknown }) {
    super(message, { cause: facts.cause });
    this.code = facts.code;
    this.node = facts.node;
  }
}

/** The node and the name of a command. */
interface CommandPlace {
  readonly node: string;
  readonly command: string;
}

/** The command ran and failed. */
export class CommandFailedError extends Error {
  override readonly name = "CommandFailedError";
  readonly code = "COMMAND_FAILED";
  readonly node: string;
  readonly command: string;
  /** `null` when a signal ended it. */
  readonly exitCode: number | null;
  /**
   * The signal as the node named it, such as `"SIGKILL"`; `null` when the command exited by itself.
   */
  readonly signal: string | null;
  /** The last 2 000 characters of its stderr. */
  readonly stderrTail: string;
  constructor(
    { node, command }: CommandPlace,
    end: { exitCode: number | null; signal: string | null; stderrTail: string },
  ) {
    const how = describeEnd(end.exitCode, end.signal);
    super(
      `${command} failed on ${node} with ${how}${explain(end.exitCode)}${said(end.stderrTail)}`,
    );
    this.node = node;
    this.command = command;
    this.exitCode = end.exitCode;
    this.signal = end.signal;
    this.stderrTail = end.stderrTail;
  }
}

const describeEnd = (exitCode: number | null, signal: string | null): string =>
  signal === null ? `exit code ${exitCode}` : `signal ${signal}`;

const said = (stderr: string): string => (stderr.trim() === "" ? "" : `: ${stderr.trim()}`);

function explain(exitCode: number | null): string {
  if (exitCode === 127) return " (no such program in the PATH of that user)";
  if (exitCode === 126) return " (the program may not be run by that user)";
  if (exitCode === 137) return " (often: killed, for example because memory ran out)";
  return "";
}

/** The command exceeded its timeout. */
export class CommandTimeoutError extends Error {
  override readonly name = "CommandTimeoutError";
  readonly code = "COMMAND_TIMEOUT";
  readonly node: string;
  readonly command: string;
  readonly timeoutMs: number;
  /** Whether the node confirmed that it ended the command. */
  readonly stopped: boolean;
  constructor({ node, command }: CommandPlace, end: { timeoutMs: number; stopped: boolean }) {
    const state = end.stopped
      ? "and was stopped"
      : "and the node did not confirm that it stopped it: it may still run";
    super(`${command} took longer than ${end.timeoutMs} ms on ${node}, ${state}`);
    this.node = node;
    this.command = command;
    this.timeoutMs = end.timeoutMs;
    this.stopped = end.stopped;
  }
}

/**
 * The connection ended before the exit status arrived. The command may have run, or may still run.
 */
export class CommandLostError extends Error {
  override readonly name = "CommandLostError";
  readonly code = "COMMAND_LOST";
  readonly node: string;
  readonly command: string;
  constructor({ node, command }: CommandPlace, options?: ErrorOptions) {
    super(
      `${node} did not report how ${command} ended; it may have run: check the node, or repeat the command if that is harmless`,
      options,
    );
    this.node = node;
    this.command = command;
  }
}

/**
 * The node did not start the command. Either sshd opened no channel for it, or the answer came from
 * neither the wrapper nor the gate (for example, a login shell that exits in its start files, or a
 * forced command).
 */
export class CommandRefusedError extends Error {
  override readonly name = "CommandRefusedError";
  readonly code = "COMMAND_REFUSED";
  readonly node: string;
  readonly command: string;
  /** The last 2 000 characters of stderr. */
  readonly stderrTail: string;
  constructor(
    { node, command }: CommandPlace,
    answer: { cause: Error } | { code: number | null; signal: string | null; stderrTail: string },
  ) {
    super(
      "cause" in answer
        ? `${node} refused to start ${command}: see its sshd log; MaxSessions bounds how many run on one connection`
        : `${node} did not start ${command}: the login ended with ${describeEnd(answer.code, answer.signal)} before it began${said(answer.stderrTail)}; check the start files of the user's shell, and whether authorized_keys or sshd_config forces a command`,
      "cause" in answer ? answer : {},
    );
    this.node = node;
    this.command = command;
    this.stderrTail = "cause" in answer ? "" : answer.stderrTail;
  }
}
