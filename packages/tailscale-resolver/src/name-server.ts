import { Resolver } from "node:dns/promises";
import { isTailnetIpv4 } from "./address.ts";
import { SourceError, type SourceErrorCode } from "./errors.ts";
import { bareName } from "./go-json.ts";
import { milliseconds, type ReadOptions } from "./source.ts";

/** A server that maps a full name to one address, and knows nothing else about a node. */
export interface NameServer {
  /** Short name for logs and messages. */
  readonly name: string;
  /** The suffix that completes a label until a status has reported one; `""` when unknown. */
  readonly suffix: string;
  /**
   * Looks up the tailnet IPv4 address of a full name.
   *
   * @throws SourceError when there is no usable answer; `DAEMON_ABSENT` and `DAEMON_HUNG` when
   * there is no answer at all.
   */
  lookup(fqdn: string, options?: ReadOptions): Promise<string>;
}

export interface MagicDnsOptions {
  /**
   * The address of the server, with a port if it is not 53. Default `"100.100.100.100"`,
   * tailscaled's own, which answers also with `--accept-dns=false`. On a host without IPv4 use
   * `"[fd7a:115c:a1e0::53]"`.
   */
  server?: string | undefined;
  /**
   * The tailnet's suffix, such as `"tail1234.ts.net"`. Without it, labels cannot be looked up
   * before the daemon has answered for the first time.
   */
  suffix?: string | undefined;
  /** The timeout of a query, in milliseconds. Default 400. */
  timeoutMs?: number | undefined;
}

/**
 * Creates a client of the tailnet's name server. It sends one query over UDP, to that server only.
 * It never uses getaddrinfo, the hosts file, a search list or another server of the system.
 *
 * While Tailscale is down, the query may leave by the default route and reach a stranger's server.
 * So the client refuses addresses outside the tailnet's range, and a resolver uses it only when the
 * daemon did not answer.
 *
 * @throws TypeError when `server` is not an IP address.
 */
export function magicDns({
  server = "100.100.100.100",
  suffix = "",
  timeoutMs = 400,
}: MagicDnsOptions = {}): NameServer {
  const name = "magic-dns";
  milliseconds("timeoutMs", timeoutMs, 1);
  // Each query gets a new resolver, because cancel() ends all queries of a resolver.
  const client = () => {
    const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
    resolver.setServers([server]);
    return resolver;
  };
  client();

  return {
    name,
    suffix: bareName(suffix),
    async lookup(fqdn, { signal } = {}) {
      signal?.throwIfAborted();
      const resolver = client();
      const cancel = () => resolver.cancel();
      // c-ares overshoots its own timeout: 660 ms instead of 400, measured.
      const timer = setTimeout(cancel, timeoutMs);
      signal?.addEventListener("abort", cancel, { once: true });
      try {
        const addresses = await resolver.resolve4(fqdn);
        const address = addresses.find(isTailnetIpv4);
        if (address !== undefined) return address;
        throw new SourceError(
          `${server} says that ${fqdn} is ${addresses.join(", ")}, which is not a tailnet address: check that this is the tailnet's name server`,
          { code: "BAD_RESPONSE", source: name },
        );
      } catch (error) {
        signal?.throwIfAborted();
        throw error instanceof SourceError ? error : toSourceError(error, { name, server, fqdn });
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", cancel);
      }
    },
  };
}

function toSourceError(
  error: unknown,
  { name, server, fqdn }: { name: string; server: string; fqdn: string },
): SourceError {
  const fail = (code: SourceErrorCode, message: string) =>
    new SourceError(message, { code, source: name, cause: error });
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ENOTFOUND":
    case "ENODATA":
      return fail("BAD_RESPONSE", `${server} knows no IPv4 address of ${fqdn} (${code})`);
    case "ECANCELLED":
    case "ETIMEOUT":
      return fail(
        "DAEMON_HUNG",
        `the name server ${server} did not answer: is Tailscale up, and not in userspace networking?`,
      );
    case "ECONNREFUSED":
      return fail("DAEMON_ABSENT", `no name server listens on ${server}: is Tailscale up?`);
    default:
      return fail("BAD_RESPONSE", `${server} could not answer for ${fqdn}: ${error}`);
  }
}

/**
 * Creates a lookup that does not ask a silent name server again for `retryMs`. A caller that looks
 * up ten nodes then waits once.
 */
export function createNameLookup(options: {
  nameServer: NameServer;
  retryMs: number;
  now: () => number;
}): (fqdn: string, signal?: AbortSignal) => Promise<string> {
  const { nameServer, retryMs, now } = options;
  let silence: { error: SourceError; at: number } | undefined;
  return async (fqdn, signal) => {
    if (silence && now() - silence.at < retryMs) throw silence.error;
    try {
      const ip = await nameServer.lookup(fqdn, { signal });
      silence = undefined;
      return ip;
    } catch (error) {
      if (error instanceof SourceError && error.code !== "BAD_RESPONSE") {
        silence = { error, at: now() };
      }
      throw error;
    }
  };
}
