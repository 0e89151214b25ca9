import {
  type Command,
  CommandFailedError,
  CommandTimeoutError,
  type Connection,
  type Output,
} from "@loom/ssh";
import type { StepLog } from "@loom/workflow";
import type { SshAccess } from "../ssh/access.ts";

/** The node of a deploy, during one step. */
export interface Target {
  /** Runs a command that changes nothing, and returns its output. */
  ask(command: Command): Promise<string>;
  /** Runs a command that changes the node. A dry run only logs it. */
  change(command: Command, options?: { timeoutMs?: number }): Promise<void>;
}

interface Visit {
  readonly input: { readonly node: string; readonly dryRun: boolean };
  readonly signal: AbortSignal;
  readonly log: StepLog;
}

/** Connects to the node of a deploy while `act` runs. */
export async function onNode<Result>(
  access: SshAccess,
  visit: Visit,
  act: (target: Target) => Promise<Result>,
): Promise<Result> {
  const connection = await access.connect(visit.input.node, { signal: visit.signal });
  try {
    return await act(toTarget(connection, visit));
  } finally {
    await connection.close();
  }
}

function toTarget(connection: Connection, { input, signal, log }: Visit): Target {
  const run = async (command: Command, timeoutMs?: number) => {
    log.info({ argv: command.argv }, command.name);
    const lines = createLineLog(log, command.name);
    const options = { signal, onOutput: lines.add, ...(timeoutMs !== undefined && { timeoutMs }) };
    try {
      return await connection.run(command, options);
    } finally {
      lines.end();
    }
  };
  return {
    ask: async (command) => (await run(command)).stdout,
    async change(command, { timeoutMs } = {}) {
      if (input.dryRun) log.info({ argv: command.argv }, `would run ${command.name}`);
      else await run(command, timeoutMs);
    },
  };
}

/**
 * Returns the node's own message if the command failed; `null` if it succeeded.
 *
 * @throws Every other error: then nothing is known about the service.
 */
export async function problemOf(work: Promise<unknown>): Promise<string | null> {
  try {
    await work;
    return null;
  } catch (error) {
    if (error instanceof CommandFailedError || error instanceof CommandTimeoutError) {
      return error.message;
    }
    throw error;
  }
}

const MAX_LINES = 5_000;
const MAX_CHARACTERS = 2_000;

/** Writes a command's output to a step's log, one entry a line, up to a readable number. */
export function createLineLog(log: StepLog, command: string) {
  const pending = { stdout: "", stderr: "" };
  let lines = 0;
  const write = (stream: Output["stream"], line: string) => {
    lines += 1;
    if (lines <= MAX_LINES) log.info({ command, stream }, line.slice(0, MAX_CHARACTERS));
    else if (lines === MAX_LINES + 1) log.warn({ command }, "further lines are left out");
  };
  return {
    add({ stream, text }: Output): void {
      const parts = (pending[stream] + text).split("\n");
      // Only the beginning of an endless line is written, so no more is held.
      pending[stream] = (parts.pop() ?? "").slice(0, MAX_CHARACTERS);
      for (const line of parts) write(stream, line);
    },
    end(): void {
      for (const stream of ["stdout", "stderr"] as const) {
        if (pending[stream] !== "") write(stream, pending[stream]);
      }
    },
  };
}
