/** An operation, or a set of them, cannot work; thrown where it is defined. */
export class CommandDefinitionError extends Error {
  override readonly name = "CommandDefinitionError";
  readonly code = "COMMAND_DEFINITION";
  readonly command: string;
  constructor(command: string, problem: string, options?: ErrorOptions) {
    super(`command ${JSON.stringify(command)}: ${problem}`, options);
    this.command = command;
  }
}

/** Arguments that an operation does not take; nothing was sent. */
export class InvalidArgumentsError extends Error {
  override readonly name = "InvalidArgumentsError";
  readonly code = "INVALID_ARGUMENTS";
  readonly command: string;
  constructor(command: string, problems: readonly string[], options?: ErrorOptions) {
    super(`${command} does not take these arguments: ${problems.join("; ")}`, options);
    this.command = command;
  }
}

/** What was given to run is not a command that `defineCommands` made. */
export class CommandNotAllowedError extends Error {
  override readonly name = "CommandNotAllowedError";
  readonly code = "COMMAND_NOT_ALLOWED";
  constructor() {
    super("only what defineCommands made can be run: define an operation, and call it");
  }
}

/**
 * Why a private key was not used.
 *
 * `KEY_MISSING`, `KEY_UNREADABLE`, `KEY_EXPOSED`: others may read or change it. `KEY_ENCRYPTED`:
 * it needs a passphrase. `KEY_INVALID`: it is no private key.
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
 * `HOST_KEY_UNKNOWN`: none is on record for the node. `HOST_KEY_CHANGED`: another one is.
 * `HOST_KEY_REVOKED`: it is marked as revoked. `KNOWN_HOSTS_UNREADABLE`: the record cannot be read.
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
  /** The key that was shown, as `SHA256:…`; `null` when it did not come to that. */
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
 * `SSH_UNREACHABLE`: nobody answers at the address, or not in time. `SSH_ADDRESS`: it is no IP
 * address. `SSH_AUTH`: the node does not accept the key for the user. `SSH_PROTOCOL`: what answers does not speak our SSH.
 */
export type ConnectErrorCode = "SSH_UNREACHABLE" | "SSH_ADDRESS" | "SSH_AUTH" | "SSH_PROTOCOL";

/** No connection to the node came about. */
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

/** Where a command ran, and how it is called. */
interface CommandPlace {
  readonly node: string;
  readonly command: string;
}

/** The command ran, and failed. */
export class CommandFailedError extends Error {
  override readonly name = "CommandFailedError";
  readonly code = "COMMAND_FAILED";
  readonly node: string;
  readonly command: string;
  /** `null` when a signal ended it. */
  readonly exitCode: number | null;
  /** As the far end named it, such as `"SIGKILL"`; `null` when it ended by itself. */
  readonly signal: string | null;
  /** The last 2 000 characters of its stderr. */
  readonly stderrTail: string;
  constructor(
    { node, command }: CommandPlace,
    end: { exitCode: number | null; signal: string | null; stderrTail: string },
  ) {
    const how = end.signal === null ? `exit code ${end.exitCode}` : `signal ${end.signal}`;
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

const said = (stderr: string): string => (stderr.trim() === "" ? "" : `: ${stderr.trim()}`);

function explain(exitCode: number | null): string {
  if (exitCode === 127) return " (no such program in the PATH of that user)";
  if (exitCode === 126) return " (the program may not be run by that user)";
  if (exitCode === 137) return " (often: killed, for example for want of memory)";
  return "";
}

/** The command took longer than it may. */
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

/** The connection ended before the exit status came: the command may have run, or still run. */
export class CommandLostError extends Error {
  override readonly name = "CommandLostError";
  readonly code = "COMMAND_LOST";
  readonly node: string;
  readonly command: string;
  constructor({ node, command }: CommandPlace, options?: ErrorOptions) {
    super(
      `${node} did not tell how ${command} ended; it may have run: look at the node, or repeat what is harmless to repeat`,
      options,
    );
    this.node = node;
    this.command = command;
  }
}

/** The node refused to start another command on this connection. */
export class CommandRefusedError extends Error {
  override readonly name = "CommandRefusedError";
  readonly code = "COMMAND_REFUSED";
  readonly node: string;
  readonly command: string;
  constructor({ node, command }: CommandPlace, options?: ErrorOptions) {
    super(
      `${node} refused to start ${command}: see its sshd log; MaxSessions bounds how many run on one connection`,
      options,
    );
    this.node = node;
    this.command = command;
  }
}
