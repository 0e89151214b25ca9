export { isTailnetAddress } from "./address.ts";
export { createResolver, type Resolver, type ResolverOptions } from "./create-resolver.ts";
export {
  AddressOutOfRangeError,
  AllSourcesFailedError,
  AmbiguousNameError,
  InvalidNameError,
  isResolveError,
  KeyExpiredError,
  NoAddressError,
  NodeNotFoundError,
  NoIpv4Error,
  NotRunningError,
  type ResolveError,
  SelfUnknownError,
  SourceError,
  type SourceErrorCode,
} from "./errors.ts";
export type { Pong } from "./local-api/ping.ts";
export type { KnownCaller, RemoteEnd, UnknownCaller, WhoIs } from "./local-api/whois.ts";
export { type MagicDnsOptions, magicDns, type NameServer } from "./magic-dns.ts";
export { ownName } from "./own-name.ts";
export type { Path } from "./path.ts";
export type { ResolvedNode } from "./resolved-node.ts";
export type { ReadOptions, Source } from "./source.ts";
export { type CliSourceOptions, cliSource } from "./sources/cli.ts";
export { firstOf } from "./sources/first-of.ts";
export {
  type LocalApi,
  type LocalApiSourceOptions,
  localApiSource,
  type PingOptions,
} from "./sources/local-api.ts";
export { staticSource } from "./sources/static.ts";
export type { Peer, Status } from "./status.ts";
