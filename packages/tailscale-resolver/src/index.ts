export { isTailnetAddress, unmapIpv4 } from "./address.ts";
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
export { type MagicDnsOptions, magicDns, type NameServer } from "./name-server.ts";
export {
  createResolver,
  type ResolvedNode,
  type Resolver,
  type ResolverOptions,
} from "./resolver.ts";
export { ownIdentity, type ReadOptions, type Source } from "./source.ts";
export { type CliSourceOptions, cliSource } from "./sources/cli.ts";
export { firstOf } from "./sources/first-of.ts";
export {
  type LocalApi,
  type LocalApiSourceOptions,
  localApiSource,
  type PingOptions,
} from "./sources/local-api.ts";
export { staticSource } from "./sources/static.ts";
export type { Path, Peer, Status } from "./status.ts";
