/** The reason why a source gave no usable answer. */
export type SourceErrorCode =
  | "DAEMON_ABSENT"
  | "NOT_INSTALLED"
  | "NO_PERMISSION"
  | "DAEMON_HUNG"
  | "BAD_RESPONSE";

/**
 * A source gave no usable answer.
 *
 * - `DAEMON_ABSENT`: tailscaled does not run, or listens elsewhere.
 * - `NOT_INSTALLED`: there is no `tailscale` command.
 * - `NO_PERMISSION`: this user may not ask tailscaled.
 * - `DAEMON_HUNG`: no answer arrived in time.
 * - `BAD_RESPONSE`: the answer is invalid.
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
 * Every source failed, and so did the name server if there is one. `errors` has their failures in
 * order. The members of a `firstOf` are listed one by one.
 */
export class AllSourcesFailedError extends AggregateError {
  override readonly name = "AllSourcesFailedError";
  readonly code = "ALL_SOURCES_FAILED";
  /** The errors in `errors`, each with the name of its source. */
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
      `every source of the tailnet failed; fix one of them:\n${lines.join("\n")}`,
    );
    this.failures = failures;
  }
}

const cures = new Map([
  ["NeedsLogin", "run `tailscale up` and log in"],
  ["NeedsMachineAuth", "have an admin of the tailnet approve this machine"],
  ["Stopped", "run `tailscale up`"],
  ["Starting", "it is not connected yet; try again in a few seconds"],
  ["NoState", "it is still starting; try again in a few seconds"],
]);

/** tailscaled answers but is not connected, so its list of nodes is out of date. */
export class NotRunningError extends Error {
  override readonly name = "NotRunningError";
  readonly code = "NOT_RUNNING";
  /** tailscaled's `BackendState`, such as `"Stopped"`. */
  readonly state: string;
  /**
   * The login page of this machine. It is not in the message, because anybody who opens it can
   * claim the machine.
   */
  readonly authUrl: string | undefined;
  constructor(state: string, authUrl: string | undefined) {
    const cure = cures.get(state) ?? "see `tailscale status`";
    super(`Tailscale is not connected on this machine (state ${state}): ${cure}`);
    this.state = state;
    this.authUrl = authUrl;
  }
}

/** The text cannot be the name of a node. */
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
  /** Similar names, best first, at most three. */
  readonly suggestions: string[];
  /** The names of all nodes, sorted. */
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

/** Several nodes have this name. */
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

/** The node has no address. */
export class NoAddressError extends Error {
  override readonly name = "NoAddressError";
  readonly code = "NO_ADDRESS";
  readonly fqdn: string;
  constructor(fqdn: string) {
    super(`${fqdn} has no address yet: check in the tailnet's admin console that it is approved`);
    this.fqdn = fqdn;
  }
}

/** The node's IPv4 address is outside the ranges that Tailscale assigns. */
export class AddressOutOfRangeError extends Error {
  override readonly name = "AddressOutOfRangeError";
  readonly code = "OUT_OF_RANGE";
  readonly fqdn: string;
  readonly address: string;
  constructor(fqdn: string, address: string) {
    super(
      `${fqdn} has the address ${address}, which is outside 100.64.0.0/10 or in its reserved part 100.115.92.0/23: correct the address pool of the control server`,
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
    super(`${source} does not report which node this machine is: name the node explicitly`);
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

/** Every error of this package. Switch on `code` to read the fields of each. */
export type ResolveError = InstanceType<(typeof classes)[number]>;

/** Whether a caught value is an error of this package. */
export const isResolveError = (error: unknown): error is ResolveError =>
  classes.some((each) => error instanceof each);
