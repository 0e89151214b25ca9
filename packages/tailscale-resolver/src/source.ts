import { NotRunningError, SelfUnknownError } from "./errors.ts";
import { firstLabel } from "./node-name.ts";
import type { Status } from "./status.ts";

/** Options of calls that can be aborted. */
export interface ReadOptions {
  /** Ends the wait; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** A way to read the state of the tailnet. */
export interface Source {
  /** A short name for logs and messages. */
  readonly name: string;
  /**
   * Reads the current state, without a cache.
   *
   * A daemon that reports that it is stopped has answered: the result is a status, not a failure.
   *
   * @throws SourceError when no usable answer came.
   */
  read(options?: ReadOptions): Promise<Status>;
}

/**
 * Reads this machine's label in the tailnet, the default for a node's name, and its stable id.
 *
 * Unlike an address, both stay the same while Tailscale starts or is stopped. So a machine that
 * boots offline keeps its name.
 *
 * @throws NotRunningError when the daemon has no name yet (logged out, never connected).
 * @throws SelfUnknownError when the source does not know this machine.
 */
export async function ownIdentity(
  source: Source,
  { signal }: ReadOptions = {},
): Promise<{ name: string; id: string }> {
  const status = await source.read({ signal });
  const { self } = status;
  if (self?.name) return { name: firstLabel(self.name), id: self.id };
  if (status.state !== "Running") throw new NotRunningError(status.state, status.authUrl);
  throw new SelfUnknownError(status.source);
}

/** The longest delay of a Node timer. Longer ones fire at once. */
const MAX_MS = 2 ** 31 - 1;

/** Returns a duration option, or throws when it is out of range. */
export function milliseconds(option: string, value: number, min: 0 | 1): number {
  if (value >= min && value <= MAX_MS) return value;
  throw new RangeError(
    `${option} is ${value}: give milliseconds from ${min} to ${MAX_MS} (24 days)`,
  );
}
