import { type Log, sleep } from "@loom/worker";
import {
  findInstallation,
  type Installation,
  mainOf,
  makePresent,
  presentDigest,
} from "./installation.ts";
import { type Marker, readMarker, writeMarker } from "./marker.ts";

/** How long a new agent may take from its start to its first heartbeat. */
const TRIAL_MS = 60_000;
const POLL_MS = 500;
/** How often it is started before the one of before stays. */
const MAX_TRIES = 3;

/** What an agent knows of its own place when it starts. */
export interface Start {
  installed: Installation | undefined;
  /** Whether it is a new agent that has to report before it may stay. */
  isTrial: boolean;
}

/**
 * Decides which agent runs: this one, or the one that is on trial.
 *
 * The link `current` names the agent of before until the new one has reported, so whatever ends a new agent (a
 * fault, `kill -9`, the machine), the next start is one of an agent that has worked here. That one starts the new one
 * again, up to three times, by becoming it: the process stays the one that a supervisor knows.
 */
export function beginStart(stateDir: string, log: Log): Start {
  const installed = findInstallation();
  const marker = readMarker(stateDir);
  if (!installed || marker?.state !== "trial") return { installed, isTrial: false };
  if (installed.digest === marker.to) {
    if (presentDigest(installed.folder) !== marker.to) return { installed, isTrial: true };
    // It was ended between its first heartbeat and the note of it.
    writeMarker(stateDir, { ...marker, state: "done" });
  } else if (installed.digest === marker.from) {
    enterTrial(stateDir, { installed, log });
  }
  return { installed, isTrial: false };
}

/** Becomes the new agent, unless it was tried too often. Returns when this one stays. */
export function enterTrial(
  stateDir: string,
  { installed, log }: { installed: Installation; log: Log },
): void {
  const marker = readMarker(stateDir);
  if (marker?.state !== "trial") return;
  if (marker.tries >= MAX_TRIES) {
    const message = `the new agent ended ${marker.tries} times before it reported: the one of before runs again`;
    fail(stateDir, marker, { code: "AGENT_CRASHED", message }, log);
    return;
  }
  writeMarker(stateDir, { ...marker, tries: marker.tries + 1 });
  log.info({ to: marker.to, try: marker.tries + 1 }, "becoming the new agent");
  try {
    become(mainOf(installed.folder, marker.to));
  } catch (error) {
    const message = `the new agent cannot be started (${(error as Error).message}): the one of before runs`;
    fail(stateDir, marker, { code: "AGENT_UNUSABLE", message }, log);
  }
}

/** Notes that a new agent has reported: from now on it is the one that starts here. */
export function passTrial(stateDir: string, { folder, digest }: Installation): void {
  makePresent(folder, digest);
  const marker = readMarker(stateDir);
  if (marker) writeMarker(stateDir, { ...marker, state: "done" });
}

/** Notes that a new agent has not reported in time. */
export function failTrial(stateDir: string, log: Log): void {
  const marker = readMarker(stateDir);
  if (marker?.state !== "trial") return;
  const message = `the new agent did not report within ${TRIAL_MS / 1_000} s: the one of before runs again`;
  fail(stateDir, marker, { code: "AGENT_SILENT", message }, log);
}

/** Becomes the agent that the link names. It decides how to go on. */
export function becomePresent({ folder }: Installation): void {
  const digest = presentDigest(folder);
  if (digest !== undefined) become(mainOf(folder, digest));
}

/**
 * Waits for the first heartbeat of an agent on trial.
 *
 * @returns Whether it came in time.
 */
export async function awaitReport(
  hasReported: () => Promise<boolean>,
  { signal }: { signal: AbortSignal },
): Promise<boolean> {
  const deadline = performance.now() + TRIAL_MS;
  while (performance.now() < deadline && !signal.aborted) {
    if (await hasReported()) return true;
    await sleep(POLL_MS, { signal });
  }
  return false;
}

function fail(
  stateDir: string,
  marker: Marker,
  problem: { code: string; message: string },
  log: Log,
): void {
  log.error({ ...problem, to: marker.to }, "the upgrade failed");
  writeMarker(stateDir, { ...marker, state: "failed", problem });
}

/** Replaces this process's program; its id, and so its place with the supervisor, stays. */
function become(main: string): void {
  if (!process.execve) throw new Error(`Node ${process.version} has no execve, which 24.11 has`);
  process.execve(process.execPath, [process.execPath, ...process.execArgv, main, "start"]);
}
