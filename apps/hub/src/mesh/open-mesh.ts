import { cliSource, createResolver, firstOf, localApiSource } from "@loom/tailscale-resolver";
import type { Mesh } from "./mesh.ts";

/** The tailnet as the Tailscale of this machine knows it; nothing is asked before somebody wants to know. */
export function openMesh(): Mesh {
  const daemon = localApiSource();
  const resolver = createResolver({ source: firstOf([daemon, cliSource()]) });
  return { ...resolver, ping: (ip, options) => daemon.ping(ip, options) };
}
