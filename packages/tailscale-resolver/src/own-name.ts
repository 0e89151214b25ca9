import { NotRunningError, SelfUnknownError } from "./errors.ts";
import { firstLabel } from "./node-name.ts";
import type { ReadOptions, Source } from "./source.ts";

/**
 * Asks for this machine's label in the tailnet: the default for a node's name.
 *
 * Unlike an address, the name also holds while Tailscale starts or is stopped, so that a machine
 * which boots offline is called the same as yesterday.
 *
 * @throws NotRunningError when the daemon has no name yet (logged out, never connected).
 * @throws SelfUnknownError when the source cannot tell.
 */
export async function ownName(source: Source, { signal }: ReadOptions = {}): Promise<string> {
  const status = await source.read({ signal });
  if (status.self?.name) return firstLabel(status.self.name);
  if (status.state !== "Running") throw new NotRunningError(status.state, status.authUrl);
  throw new SelfUnknownError(status.source);
}
