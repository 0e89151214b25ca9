import { Resolver } from "node:dns/promises";
import { isTailnetIpv4 } from "./address.ts";
import { SourceError, type SourceErrorCode } from "./errors.ts";
import { bareName } from "./go-json.ts";
import { milliseconds } from "./milliseconds.ts";
import type { ReadOptions } from "./source.ts";

/** A server that knows one address for one full name, and nothing else of a node. */
export interface NameServer {
  /** Short name for logs and messages. */
  readonly name: string;
  /** What completes a label, as long as no status has told it; `""` when not known. */
  readonly suffix: string;
  /**
   * Asks for the tailnet IPv4 address of a full name.
   *
   * @throws SourceError when there is no usable answer; `DAEMON_ABSENT` and `DAEMON_HUNG` when there
   * is none at all.
   */
  lookup(fqdn: string, options?: ReadOptions): Promise<string>;
}

export interface MagicDnsOptions {
  /**
   * Address of the server, with a port if it is not 53; default `"100.100.100.100"`, tailscaled's
   * own, which answers also with `--accept-dns=false`. On a host without IPv4 `"[fd7a:115c:a1e0::53]"`.
   */
  server?: string | undefined;
  /**
   * The tailnet's suffix, such as `"tail1234.ts.net"`: needed for labels that are asked for before
   * the daemon has answered for the first time.
   */
  suffix?: string | undefined;
  /** For a whole query; default 400. */
  timeoutMs?: number | undefined;
}

/**
 * Creates a client of the tailnet's name server. It sends one query over UDP, to that server only:
 * no hosts file, search list or other server of the system has a say, and never getaddrinfo.
 *
 * While Tailscale is down, the query may leave by the default route and be answered by a stranger.
 * So addresses outside of the tailnet's range are refused, and a resolver asks here only when the
 * daemon itself did not answer.
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
  // One for each query: cancel() ends all queries of a resolver.
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
      // c-ares takes its own timeout loosely: 660 ms for 400, measured.
      const timer = setTimeout(cancel, timeoutMs);
      signal?.addEventListener("abort", cancel, { once: true });
      try {
        const addresses = await resolver.resolve4(fqdn);
        const address = addresses.find(isTailnetIpv4);
        if (address !== undefined) return address;
        throw new SourceError(
          `${server} says that ${fqdn} is ${addresses.join(", ")}, which is no tailnet address: make sure that this is the tailnet's name server`,
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
