/** Why a source gave no usable answer. */
export type SourceErrorCode =
  | "DAEMON_ABSENT"
  | "NOT_INSTALLED"
  | "NO_PERMISSION"
  | "DAEMON_HUNG"
  | "BAD_RESPONSE";

/**
 * A source gave no usable answer.
 *
 * `DAEMON_ABSENT`: tailscaled does not run, or not there. `NOT_INSTALLED`: there is no `tailscale`
 * command. `NO_PERMISSION`: this user may not ask. `DAEMON_HUNG`: no answer in time.
 * `BAD_RESPONSE`: an answer that is not one.
 */
export class SourceError extends Error {
  override readonly name = "SourceError";
  readonly code: SourceErrorCode;
  readonly source: string;
  constructor(message: string, facts: { code: SourceErrorCode; source: string; cause?: unknown }) {
    super(message, { cause: facts.cause });
    this.code = facts.code;
    this.source = facts.source;
  }
}

/**
 * Every source that was asked failed, and the name server; `errors` has their failures, in order.
 * The members of a `firstOf` count one by one.
 */
export class AllSourcesFailedError extends AggregateError {
  override readonly name = "AllSourcesFailedError";
  readonly code = "ALL_SOURCES_FAILED";
  /** `errors` with the names of their sources. */
  readonly failures: readonly { source: string; error: unknown }[];
  constructor(causes: { source: string; error: unknown }[]) {
    const failures = causes.flatMap((cause) =>
      cause.error instanceof AllSourcesFailedError ? cause.error.failures : [cause],
    );
    const lines = failures.map(
      ({ source, error }) => `- ${source}: ${error instanceof Error ? error.message : error}`,
    );
    super(
      failures.map(({ error }) => error),
      `no source knows the tailnet; mending one of them is enough:\n${lines.join("\n")}`,
    );
    this.failures = failures;
  }
}

const cures = new Map([
  ["NeedsLogin", "run `tailscale up` and log in"],
  ["NeedsMachineAuth", "have an admin of the tailnet approve this machine"],
  ["Stopped", "run `tailscale up`"],
  ["Starting", "it has no connection yet; try again in a few seconds"],
  ["NoState", "it is still starting; try again in a few seconds"],
]);

/** tailscaled answers but is not connected, so what it lists is out of date. */
export class NotRunningError extends Error {
  override readonly name = "NotRunningError";
  readonly code = "NOT_RUNNING";
  /** tailscaled's `BackendState`, such as `"Stopped"`. */
  readonly state: string;
  /** Login page of this machine. Not in the message: whoever opens it can claim the machine. */
  readonly authUrl: string | undefined;
  constructor(state: string, authUrl: string | undefined) {
    const cure = cures.get(state) ?? "see `tailscale status`";
    super(`Tailscale is not connected on this machine (state ${state}): ${cure}`);
    this.state = state;
    this.authUrl = authUrl;
  }
}

/** The text cannot be a node's name. */
export class InvalidNameError extends Error {
  override readonly name = "InvalidNameError";
  readonly code = "INVALID_NAME";
  readonly input: string;
  constructor(input: string) {
    super(
      `${JSON.stringify(input.slice(0, 100))} is not a node name: give the bare name, the full name or an IP address, without user, path or spaces`,
    );
    this.input = input;
  }
}

/** No node has the name or the address. */
export class NodeNotFoundError extends Error {
  override readonly name = "NodeNotFoundError";
  readonly code = "NOT_FOUND";
  readonly node: string;
  /** Names that may have been meant, best first, at most three. */
  readonly suggestions: string[];
  /** All names there are, sorted. */
  readonly known: string[];
  constructor(node: string, { suggestions, known }: { suggestions: string[]; known: string[] }) {
    const shown = known.slice(0, 10).join(", ") || "none";
    const more = known.length > 10 ? ` and ${known.length - 10} more` : "";
    const hint =
      suggestions.length > 0
        ? `did you mean ${suggestions.join(" or ")}?`
        : "is it logged in to this tailnet?";
    super(`no node is called ${JSON.stringify(node)}; ${hint} Known nodes: ${shown}${more}`);
    this.node = node;
    this.suggestions = suggestions;
    this.known = known;
  }
}

/** Several nodes answer to the name. */
export class AmbiguousNameError extends Error {
  override readonly name = "AmbiguousNameError";
  readonly code = "AMBIGUOUS";
  readonly node: string;
  readonly fqdns: string[];
  constructor(node: string, found: { fqdn: string; id: string }[]) {
    const list = found.map(({ fqdn, id }) => `${fqdn} (${id})`).join(", ");
    super(
      `${JSON.stringify(node)} is the name of several nodes: ${list}; use a full name, or rename one of them`,
    );
    this.node = node;
    this.fqdns = found.map(({ fqdn }) => fqdn);
  }
}

/** The node's key has expired, so no peer talks to it. */
export class KeyExpiredError extends Error {
  override readonly name = "KeyExpiredError";
  readonly code = "EXPIRED";
  readonly fqdn: string;
  readonly expiredAt: Date | undefined;
  constructor(fqdn: string, expiredAt: Date | undefined) {
    const since = expiredAt === undefined ? "" : ` on ${expiredAt.toISOString()}`;
    super(
      `the key of ${fqdn} expired${since}: run \`tailscale up --force-reauth\` on it, or disable its key expiry`,
    );
    this.fqdn = fqdn;
    this.expiredAt = expiredAt;
  }
}

/** The node has IPv6 addresses only. */
export class NoIpv4Error extends Error {
  override readonly name = "NoIpv4Error";
  readonly code = "NO_IPV4";
  readonly fqdn: string;
  /** Its IPv6 address, for callers that can use one. */
  readonly ipv6: string;
  constructor(fqdn: string, ipv6: string) {
    super(
      `${fqdn} has no IPv4 address, only ${ipv6}: remove the disable-ipv4 attribute in the tailnet policy`,
    );
    this.fqdn = fqdn;
    this.ipv6 = ipv6;
  }
}

/** The node is listed without any address. */
export class NoAddressError extends Error {
  override readonly name = "NoAddressError";
  readonly code = "NO_ADDRESS";
  readonly fqdn: string;
  constructor(fqdn: string) {
    super(`${fqdn} has no address yet: see whether it is approved in the tailnet's admin console`);
    this.fqdn = fqdn;
  }
}

/** The node's IPv4 address is not one that Tailscale gives out. */
export class AddressOutOfRangeError extends Error {
  override readonly name = "AddressOutOfRangeError";
  readonly code = "OUT_OF_RANGE";
  readonly fqdn: string;
  readonly address: string;
  constructor(fqdn: string, address: string) {
    super(
      `${fqdn} has the address ${address}, outside of 100.64.0.0/10 (or in its reserved part 100.115.92.0/23): correct the address pool of the control server`,
    );
    this.fqdn = fqdn;
    this.address = address;
  }
}

/** The source cannot tell which node this machine is. */
export class SelfUnknownError extends Error {
  override readonly name = "SelfUnknownError";
  readonly code = "NO_SELF";
  readonly source: string;
  constructor(source: string) {
    super(`${source} does not tell which node this machine is: name the node explicitly`);
    this.source = source;
  }
}

const classes = [
  SourceError,
  AllSourcesFailedError,
  NotRunningError,
  InvalidNameError,
  NodeNotFoundError,
  AmbiguousNameError,
  KeyExpiredError,
  NoIpv4Error,
  NoAddressError,
  AddressOutOfRangeError,
  SelfUnknownError,
] as const;

/** Every error of this package; switch on `code` to reach the fields of each. */
export type ResolveError = InstanceType<(typeof classes)[number]>;

/** Whether a caught value is an error of this package. */
export const isResolveError = (error: unknown): error is ResolveError =>
  classes.some((each) => error instanceof each);
