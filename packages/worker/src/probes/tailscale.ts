import { toValue } from "./capabilities.ts";
import type { Probe } from "./probe.ts";

/**
 * The machine's place in the tailnet: `tailscale`, and its tags as `tailscale-tag=…`.
 *
 * @param self - Asks tailscaled; fails when that does not run or is not logged in.
 */
export const tailscale = (
  self: (options: { signal: AbortSignal }) => Promise<{ fqdn: string; tags: readonly string[] }>,
): Probe => ({
  name: "tailscale",
  everyMs: 60_000,
  async run(signal) {
    const { fqdn, tags } = await self({ signal });
    return {
      result: "ok",
      capabilities: [
        "tailscale",
        ...tags.map((tag) => `tailscale-tag=${toValue(tag.replace(/^tag:/, ""))}`),
      ],
      evidence: [fqdn, ...tags].join(", "),
    };
  },
});
