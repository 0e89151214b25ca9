import { type Command, CommandFailedError, CommandTimeoutError, type Connection } from "@loom/ssh";
import type { StepLog } from "@loom/workflow";
import type { SshAccess } from "../ssh/access.ts";
import { createLineLog } from "./line-log.ts";

/** The node of a deploy, during one step. */
export interface Target {
  /** Runs what changes nothing, and gives back what it wrote. */
  ask(command: Command): Promise<string>;
  /** Runs what changes the node; in a dry run it only says so. */
  change(command: Command, options?: { timeoutMs?: number }): Promise<void>;
}

interface Visit {
  readonly input: { readonly node: string; readonly dryRun: boolean };
  readonly signal: AbortSignal;
  readonly log: StepLog;
}

/** Connects to the node of a deploy for as long as `act` takes. */
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
 * What the node itself says against it; `null` when all went well.
 *
 * @throws Everything that is not about the command: then nothing is known about the service.
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
