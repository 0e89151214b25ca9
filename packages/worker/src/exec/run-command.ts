import { classify, type Outcome } from "../outcome.ts";
import { CommandNotStartedError, createCommands } from "../step-process/exec.ts";
import type { Surroundings } from "../step-process/run-step.ts";
import type { ExecOrder } from "./gate.ts";

/** The name of the module whose steps are commands. It is a part of this program, and no file. */
export const EXEC_MODULE = "loom:exec";

/** How a shell exits that cannot find a program, or cannot run it. */
const NOT_FOUND = 127;
const NOT_EXECUTABLE = 126;

/**
 * Runs a command as the step of a job. Its result is its exit code, and what it made. Never fails: a program that ends otherwise,
 * cannot be started, or whose files cannot be carried, is the outcome.
 */
export async function runCommand(order: ExecOrder, surroundings: Surroundings): Promise<Outcome> {
  const { signal, scrub } = surroundings;
  if (order.cwd !== null) return await run(order, order.cwd, surroundings);
  try {
    // Most commands have no files, and do not wait for what reads archives.
    const { collectOutput, openOwnFolder } = await import("./own-folder.ts");
    const cwd = await openOwnFolder(order, surroundings);
    const outcome = await run(order, cwd, surroundings);
    const hasEnded = outcome.outcome === "succeeded" || outcome.outcome === "failed";
    // After a cancel or a timeout nothing is carried any more.
    if (order.out === null || !hasEnded || signal.aborted) return outcome;
    return await collectOutput(order.out, outcome, { ...surroundings, cwd });
  } catch (error) {
    return classify(error, scrub);
  }
}

async function run(
  order: ExecOrder,
  cwd: string,
  { signal, commandGraceMs, write, onGroup, scrub }: Surroundings,
): Promise<Outcome> {
  const commands = createCommands({ signal, graceMs: commandGraceMs, write, onGroup });
  try {
    await commands.pass({ ...order, cwd, env: { PWD: cwd, ...order.env } });
    return { outcome: "succeeded", result: { exitCode: 0 } };
  } catch (error) {
    if (!(error instanceof CommandNotStartedError)) return classify(error, scrub);
    const { code } = error.cause as NodeJS.ErrnoException;
    const exitCode = code === "ENOENT" || code === "ENOTDIR" ? NOT_FOUND : NOT_EXECUTABLE;
    const outcome = classify(Object.assign(error, { exitCode }), scrub);
    // Another attempt would find it no sooner.
    return outcome.outcome === "failed" ? { ...outcome, retryable: false } : outcome;
  } finally {
    await commands.close();
  }
}
