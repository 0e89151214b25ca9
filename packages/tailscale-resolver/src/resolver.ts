import { isIP } from "node:net";
import { isTailnetIpv4 } from "./address.ts";
import { AllSourcesFailedError, SelfUnknownError } from "./errors.ts";
import { createNameLookup, type NameServer } from "./name-server.ts";
import { fullName, normaliseName, shortName } from "./node-name.ts";
import { requireRunning, resolveNode } from "./resolve-node.ts";
import { milliseconds, type ReadOptions, type Source } from "./source.ts";
import type { Peer, Status } from "./status.ts";
import { createStatusCache } from "./status-cache.ts";

export interface ResolverOptions {
  source: Source;
  /**
   * `resolve` asks it when the source fails, before it uses the last good status. Default: none.
   */
  nameServer?: NameServer | undefined;
  /**
   * How long a status is used before the source is asked again, in milliseconds. Default 3 000; 0
   * asks every time.
   */
  ttlMs?: number;
  /** How old the last good status may be when the source fails, in milliseconds. Default 60 000. */
  maxStaleMs?: number;
  /**
   * How long `resolve` waits for the source when it could use the last good status, in
   * milliseconds. Default 500. Otherwise the source's own timeout applies.
   */
  patienceMs?: number;
  /** Clock in milliseconds; must not run backwards. Default `performance.now`. */
  now?: () => number;
}

export interface Resolver {
  /**
   * Finds the tailnet IPv4 address of a node.
   *
   * An offline node resolves, with `online: false`. When the source fails, `resolve` asks the name
   * server if there is one, and then uses the last good status, with `stale: true`. Neither can
   * prove that a node does not exist, so a node that they do not know gets the source's failure.
   *
   * @param name - A label in our own tailnet, an FQDN, or an IP address of a node; case does not
   * matter.
   * @throws ResolveError, one of the errors of this package.
   */
  resolve(name: string, options?: ReadOptions): Promise<ResolvedNode>;
  /**
   * Lists the other machines, including expired and offline ones.
   *
   * The list is never stale: addresses stay valid while a daemon is away, but the online state does
   * not.
   */
  peers(options?: ReadOptions): Promise<Peer[]>;
  /**
   * Describes this machine. The answer is never stale.
   *
   * @throws SelfUnknownError when the source does not know this machine.
   */
  self(options?: ReadOptions): Promise<Peer>;
}

/**
 * Creates a resolver over a source, with a short cache. It reads the source only when it is called.
 */
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
  // Kept after its status has expired: a tailnet is not renamed while its daemon is away.
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
          // The old status does not have the node, which may have joined since.
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

/** The address of a node, and how it was found. */
export interface ResolvedNode extends Pick<Peer, "name" | "fqdn" | "lastSeen" | "tags"> {
  /** The IPv4 address to connect to. */
  ip: string;
  family: 4;
  /** The stable node id; `undefined` when only the name server answered. */
  id: string | undefined;
  /**
   * The online state that the control server reports, which may be wrong. `undefined` when only the
   * name server answered.
   */
  online: boolean | undefined;
  /** Whether it is this machine; `undefined` when only the name server answered. */
  self: boolean | undefined;
  /** With `"proxy"`, a plain connect would not reach the tailnet. See {@link Status.via}. */
  via: Status["via"];
  /**
   * This machine's own tailnet address, if it is known. Bind the outgoing socket to it
   * (`net.connect` and `http.request` have an option of this name). If Tailscale has gone down, the
   * connect then fails with EADDRNOTAVAIL. Without the binding it would leave by the default route.
   */
  localAddress: string | undefined;
  /** The name of the source that answered. */
  source: string;
  /** The age of the answer in milliseconds. */
  ageMs: number;
  /** Whether this is the last good answer, because the source failed or takes too long. */
  stale: boolean;
}

/**
 *
 * @throws ResolveError when the status has no valid IPv4 address of the node.
 */
function fromStatus(
  status: Status,
  name: string,
  { ageMs, stale }: { ageMs: number; stale: boolean },
): ResolvedNode {
  const node = resolveNode(status, name);
  const { via, self, source } = status;
  const inTailnet = via === "direct" && isTailnetIpv4(node.ip) && isTailnetIpv4(self?.ip ?? "");
  return {
    ip: node.ip,
    family: 4,
    name: node.name,
    id: node.id,
    fqdn: node.fqdn,
    online: node.online,
    lastSeen: node.lastSeen,
    tags: node.tags,
    self: node.self,
    via,
    localAddress: inTailnet ? self?.ip : undefined,
    source,
    ageMs,
    stale,
  };
}

/** Converts a name server's answer, which knows only the address. */
function fromNameServer(answer: {
  ip: string;
  fqdn: string;
  suffix: string;
  source: string;
}): ResolvedNode {
  return {
    ip: answer.ip,
    family: 4,
    name: shortName(answer.fqdn, answer.suffix),
    id: undefined,
    fqdn: answer.fqdn,
    online: undefined,
    lastSeen: undefined,
    tags: [],
    self: undefined,
    // With userspace networking there is no route to the name server either.
    via: "direct",
    localAddress: undefined,
    source: answer.source,
    ageMs: 0,
    stale: false,
  };
}
