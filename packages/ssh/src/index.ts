export type { Output } from "./capture.ts";
export { type Connection, type ConnectOptions, connect } from "./connect.ts";
export {
  type Argument,
  type ArgumentSchema,
  type Command,
  type CommandDefinition,
  type Commands,
  defineCommands,
} from "./define-commands.ts";
export {
  CommandDefinitionError,
  CommandFailedError,
  CommandLostError,
  CommandNotAllowedError,
  CommandRefusedError,
  CommandTimeoutError,
  ConnectError,
  type ConnectErrorCode,
  HostKeyError,
  type HostKeyErrorCode,
  InvalidArgumentsError,
  KeyError,
  type KeyErrorCode,
} from "./errors.ts";
export type { HostKeys } from "./host-keys.ts";
export { quote } from "./quote.ts";
export type { CommandResult, RunOptions } from "./run-command.ts";
