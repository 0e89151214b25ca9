import { setTimeout as sleep } from "node:timers/promises";
import { CommandFailedError } from "@loom/ssh";
import { NonRetryableError } from "@loom/workflow";
import type { deployCommands } from "./commands.ts";
import type { DeployInput } from "./input.ts";
import { type ReleaseName, toRelease } from "./release.ts";
import { problemOf, type Target } from "./target.ts";

type Commands = ReturnType<typeof deployCommands>;

/**
 * A service that crashes at once is active for a moment, so this many checks in a row have to
 * succeed.
 */
const CHECKS = 4;
const BETWEEN_CHECKS_MS = 250;
const RESTART_MS = 2 * 60_000;

/**
 * Returns the current release on the node; `null` only if the link `current` does not exist, so
 * nothing was ever activated.
 */
export async function currentRelease(
  target: Target,
  commands: Commands,
  { directory }: Pick<DeployInput, "directory">,
): Promise<ReleaseName | null> {
  try {
    return toRelease(await target.ask(commands.current(directory)), directory);
  } catch (error) {
    if (error instanceof CommandFailedError && isMissing(error)) return null;
    throw error;
  }
}

/** readlink exits with 1 for every fault: the path may also be a folder, or not readable. */
const isMissing = ({ exitCode, stderrTail }: CommandFailedError): boolean =>
  exitCode === 1 && /No such file or directory\s*$/.test(stderrTail);

/**
 * Makes a release the current one and restarts the service. Repeating it is harmless.
 *
 * @param instead - The release that may be current before, besides the release itself.
 * @returns The service manager's message if the restart failed; `null` if it succeeded.
 * @throws NonRetryableError when another release is current, because another deploy runs.
 */
export async function switchTo(
  release: ReleaseName,
  { target, commands, input, instead }: Switch,
): Promise<string | null> {
  const current = await currentRelease(target, commands, input);
  if (current !== instead && current !== release) {
    throw new NonRetryableError(
      `${current} is current in ${input.directory}, which this deploy did not put there: another deploy or a person changed it; deploy again when that is done`,
    );
  }
  await target.change(commands.link(input.directory, release));
  await target.change(commands.activate(input.directory));
  return problemOf(
    target.change(commands.restart(input.service, input.scope), { timeoutMs: RESTART_MS }),
  );
}

interface Switch {
  readonly target: Target;
  readonly commands: Commands;
  readonly input: DeployInput;
  readonly instead: ReleaseName | null;
}

/**
 * Waits until the service is healthy several times in a row.
 *
 * @returns The problem when the time is over; `null` when the service is healthy.
 */
export async function waitForHealth(
  { target, commands, input }: Omit<Switch, "instead">,
  signal: AbortSignal,
): Promise<string | null> {
  const { service, scope, healthUrl, healthSeconds } = input;
  const deadline = performance.now() + healthSeconds * 1_000;
  for (let healthy = 0; ; ) {
    const problem =
      (await problemOf(target.ask(commands.isActive(service, scope)))) ??
      (healthUrl && (await problemOf(target.ask(commands.askHealth(healthUrl))))) ??
      null;
    healthy = problem ? 0 : healthy + 1;
    if (healthy === CHECKS) return null;
    if (problem && performance.now() > deadline) return problem;
    await sleep(BETWEEN_CHECKS_MS, undefined, { signal });
  }
}
