import { SelfUnknownError } from "./errors.ts";
import { milliseconds } from "./milliseconds.ts";
import { normaliseName } from "./node-name.ts";
import { requireRunning, resolveNode } from "./resolve-node.ts";
import type { ReadOptions, Source } from "./source.ts";
import type { Peer, Status } from "./status.ts";
import { createStatusCache } from "./status-cache.ts";

export interface ResolverOptions {
  source: Source;
  /** How long a status serves before the source is asked again; default 3 000, 0 asks every time. */
  ttlMs?: number;
  /** How old the last good status may be when the source fails; default 60 000. */
  maxStaleMs?: number;
  /** Clock in milliseconds; must not run backwards. Default `performance.now`. */
  now?: () => number;
}

/** The answer to "where is that node?". */
export interface ResolvedNode
  extends Pick<Peer, "name" | "id" | "fqdn" | "online" | "lastSeen" | "tags" | "self"> {
  /** IPv4 address, to connect to as it is. */
  ip: string;
  family: 4;
  /** `"proxy"`: a plain connect would miss the tailnet. See {@link Status.via}. */
  via: Status["via"];
  /** Name of the source that answered. */
  source: string;
  /** Age of the status in milliseconds. */
  ageMs: number;
  /** The source failed just now, and this is what it said last. */
  stale: boolean;
}

export interface Resolver {
  /**
   * Finds the tailnet IPv4 address of a node.
   *
   * An offline node resolves, with `online: false`. While the source fails, the last good answer is
   * given, flagged `stale`; it can only confirm a node, so in all other cases the failure is thrown.
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

/** Creates a resolver over a source, with a short cache. It holds no socket, process or timer. */
export function createResolver({
  source,
  ttlMs = 3_000,
  maxStaleMs = 60_000,
  now = () => performance.now(),
}: ResolverOptions): Resolver {
  const latest = createStatusCache({
    source,
    ttlMs: milliseconds("ttlMs", ttlMs, 0),
    maxStaleMs: milliseconds("maxStaleMs", maxStaleMs, 0),
    now,
  });

  async function current(signal: AbortSignal | undefined): Promise<Status> {
    const { status, failure } = await latest(signal);
    if (failure) throw failure.error;
    requireRunning(status);
    return status;
  }

  return {
    async resolve(name, { signal } = {}) {
      const wanted = normaliseName(name);
      const { status, ageMs, failure } = await latest(signal);
      try {
        const node = resolveNode(status, wanted);
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
          via: status.via,
          source: status.source,
          ageMs,
          stale: failure !== undefined,
        };
      } catch (error) {
        throw failure ? failure.error : error;
      }
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
