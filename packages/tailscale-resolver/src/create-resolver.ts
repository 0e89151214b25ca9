import { isIP } from "node:net";
import { AllSourcesFailedError, SelfUnknownError } from "./errors.ts";
import type { NameServer } from "./magic-dns.ts";
import { milliseconds } from "./milliseconds.ts";
import { createNameLookup } from "./name-lookup.ts";
import { fullName, normaliseName } from "./node-name.ts";
import { requireRunning } from "./resolve-node.ts";
import { fromNameServer, fromStatus, type ResolvedNode } from "./resolved-node.ts";
import type { ReadOptions, Source } from "./source.ts";
import type { Peer, Status } from "./status.ts";
import { createStatusCache } from "./status-cache.ts";

export interface ResolverOptions {
  source: Source;
  /** Asked by `resolve` when the source fails, before the last good status is. Default: none. */
  nameServer?: NameServer | undefined;
  /** How long a status serves before the source is asked again; default 3 000, 0 asks every time. */
  ttlMs?: number;
  /** How old the last good status may be when the source fails; default 60 000. */
  maxStaleMs?: number;
  /**
   * How long `resolve` waits for the source when the last good status can serve; default 500.
   * Otherwise the source's own timeout counts.
   */
  patienceMs?: number;
  /** Clock in milliseconds; must not run backwards. Default `performance.now`. */
  now?: () => number;
}

export interface Resolver {
  /**
   * Finds the tailnet IPv4 address of a node.
   *
   * An offline node resolves, with `online: false`. When the source fails, the name server is asked,
   * if there is one, then the last good status, flagged `stale`; both can only confirm a node, so in
   * all other cases the failure is thrown.
   *
   * @param name - Label in our own tailnet, FQDN, or an IP address of a node; case does not matter.
   * @throws ResolveError, one of the errors of this package.
   */
  resolve(name: string, options?: ReadOptions): Promise<ResolvedNode>;
  /**
   * Lists the other machines, expired and offline ones included.
   *
   * Never stale: addresses outlive a daemon that is away, who is online does not.
   */
  peers(options?: ReadOptions): Promise<Peer[]>;
  /**
   * Describes this machine; never stale.
   *
   * @throws SelfUnknownError when the source cannot tell.
   */
  self(options?: ReadOptions): Promise<Peer>;
}

/** Creates a resolver over a source, with a short cache. It reads only while somebody asks. */
export function createResolver({
  source,
  nameServer,
  ttlMs = 3_000,
  maxStaleMs = 60_000,
  patienceMs = 500,
  now = () => performance.now(),
}: ResolverOptions): Resolver {
  const latest = createStatusCache({
    source,
    ttlMs: milliseconds("ttlMs", ttlMs, 0),
    maxStaleMs: milliseconds("maxStaleMs", maxStaleMs, 0),
    patienceMs: milliseconds("patienceMs", patienceMs, 0),
    now,
  });
  const lookup = nameServer && createNameLookup({ nameServer, retryMs: ttlMs, now });
  // Outlives the status that told it: a tailnet is not renamed while its daemon is away.
  let suffix = nameServer?.suffix ?? "";

  async function current(signal: AbortSignal | undefined): Promise<Status> {
    const { status, failure } = await latest({ signal });
    if (failure) throw failure.error;
    requireRunning(status);
    return status;
  }

  return {
    async resolve(name, { signal } = {}) {
      const wanted = normaliseName(name);
      const snapshot = await latest({ signal, mayBeStale: true });
      const { status, failure } = snapshot;
      if (status?.suffix) suffix = status.suffix;
      if (!failure) return fromStatus(status, wanted, { ageMs: snapshot.ageMs, stale: false });

      const failures = [{ source: source.name, error: failure.error }];
      const fqdn = isIP(wanted) ? undefined : fullName(wanted, suffix);
      if (lookup && fqdn) {
        try {
          const ip = await lookup(fqdn, signal);
          return fromNameServer({ ip, fqdn, suffix, source: nameServer.name });
        } catch (error) {
          signal?.throwIfAborted();
          failures.push({ source: nameServer.name, error });
        }
      }
      if (status) {
        try {
          return fromStatus(status, wanted, { ageMs: snapshot.ageMs, stale: true });
        } catch {
          // What an old status does not have may be there by now.
        }
      }
      throw failures.length > 1 ? new AllSourcesFailedError(failures) : failure.error;
    },
    async peers({ signal } = {}) {
      return [...(await current(signal)).peers];
    },
    async self({ signal } = {}) {
      const { self, source: name } = await current(signal);
      if (!self) throw new SelfUnknownError(name);
      return self;
    },
  };
}
