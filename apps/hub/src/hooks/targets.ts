import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import type { HookTargetRequest, ShownTarget } from "@loom/client";
import { problem } from "@loom/http";
import type { HookTarget } from "@loom/queue";
import { isRefusedAddress } from "./addresses.ts";
import type { Seal } from "./seal.ts";

/** A target with all that is needed to send: a webhook always has a secret. */
export type Target =
  | Exclude<HookTargetRequest, { kind: "webhook" }>
  | { kind: "webhook"; url: string; secret: string };

/**
 * Completes a target. A webhook without a secret gets one of 32 random bytes, which is returned too.
 *
 * @throws ProblemError `HOOK_TARGET_REFUSED` for an address that no message may go to.
 */
export function completeTarget(given: HookTargetRequest): { target: Target; secret?: string } {
  const { hostname } = new URL(given.kind === "email" ? given.server : given.url);
  const address = hostname.replace(/^\[(.*)\]$/, "$1");
  if (isIP(address) && isRefusedAddress(address)) throw problem("HOOK_TARGET_REFUSED", address);
  if (given.kind !== "webhook") return { target: given };
  if (given.secret !== undefined) return { target: { ...given, secret: given.secret } };
  const secret = `whsec_${randomBytes(32).toString("base64")}`;
  return { target: { ...given, secret }, secret };
}

/** What callers may see of a target. The path of an address can be a secret, as Slack's is, or an ntfy topic. */
function showTarget(target: Target): ShownTarget {
  if (target.kind !== "email") {
    const { protocol, host } = new URL(target.url);
    return { kind: target.kind, address: `${protocol}//${host}` };
  }
  const { protocol, hostname, port } = new URL(target.server);
  const address = `${protocol}//${hostname}:${port || defaultPort(protocol)}`;
  return { kind: target.kind, address, from: target.from, to: [...target.to] };
}

/** The usual port of a mail server: submission, or submission with TLS from the start. */
export const defaultPort = (protocol: string): number => (protocol === "smtps:" ? 465 : 587);

/** A target as the queue stores it. */
export const sealTarget = (target: Target, hook: string, seal: Seal): HookTarget => ({
  shown: { ...showTarget(target) },
  sealed: seal.close(JSON.stringify(target), hook),
});

/** @throws SealError when another hub's key sealed it. */
export const openTarget = (sealed: string, hook: string, seal: Seal): Target =>
  JSON.parse(seal.open(sealed, hook)) as Target;
