import type { LocalApi, Resolver } from "@loom/tailscale-resolver";

/** What the hub asks of the tailnet that it is in. */
export type Mesh = Pick<Resolver, "peers" | "self"> & Pick<LocalApi, "ping">;
