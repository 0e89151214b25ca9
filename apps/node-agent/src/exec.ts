import { lookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { createExecGate, type ExecGate, type Log, sleep, stepEnvironment } from "@loom/worker";
import type { Env } from "./env.ts";

/** How long to wait until a name that had no address is looked up again. */
const LOOK_UP_AGAIN_MS = 10_000;

/** Whether the hub runs on this machine. A name without an address tells nothing: it may be this machine's. */
type Place = "here" | "elsewhere" | "unknown";

/**
 * Opens the gate for commands, by this machine's settings. Where it stays closed although the owner wants it open, the
 * log says why.
 *
 * While a name has no address, as before the network is up, the gate is closed. It opens later if the hub is elsewhere.
 *
 * @param options.hubUrl - The address of the hub that this machine joined, if it joined one.
 * @param options.hasFiles - Whether this agent can carry files between its hub and itself.
 * @param options.onOpen - Called when the gate opens later.
 * @param options.signal - Ends the look-ups.
 */
export async function openExec(
  env: Env,
  {
    variables,
    hubUrl,
    hasFiles,
    onOpen,
    signal,
    log,
    lookUpAgainMs = LOOK_UP_AGAIN_MS,
    resolve = resolveAll,
  }: {
    variables: Readonly<Record<string, string | undefined>>;
    hubUrl: string | undefined;
    hasFiles: boolean;
    onOpen: () => void;
    signal: AbortSignal;
    log: Log;
    lookUpAgainMs?: number;
    resolve?: (host: string) => Promise<string[]>;
  },
): Promise<ExecGate> {
  const { LOOM_EXEC: wanted, LOOM_EXEC_ON_HUB: isAllowedOnHub, LOOM_CODE_KEY: publicKey } = env;
  const gate = (policy: Env["LOOM_EXEC"]) =>
    createExecGate({ policy, publicKey, hasFiles, env: stepEnvironment(variables) });
  if (wanted.kind === "off") return gate(wanted);
  if (publicKey === undefined) {
    log.warn(
      {},
      "LOOM_EXEC has no effect: this agent has no key to verify commands with; let the machine join its hub (loom-agent join), or set LOOM_CODE_KEY",
    );
    return gate(wanted);
  }
  let current = gate({ kind: "off" });
  /** Returns whether that is decided. */
  async function decide(): Promise<boolean> {
    const place = isAllowedOnHub
      ? "elsewhere"
      : await placeOf([hubUrl, env.SUPABASE_URL], { resolve });
    if (place === "unknown") return false;
    if (place === "here") {
      log.warn(
        {},
        "LOOM_EXEC has no effect on the hub's own machine, where a command could read the hub's keys: set LOOM_EXEC_ON_HUB=1 to allow that",
      );
    } else {
      current = gate(wanted);
      log.info({ policy: wanted }, "this machine runs commands");
    }
    return true;
  }
  if (!(await decide())) {
    log.warn(
      {},
      "LOOM_EXEC has no effect yet: the name of the hub or of its database has no address, so this may be the hub's own machine",
    );
    void (async () => {
      do await sleep(lookUpAgainMs, { signal });
      while (!signal.aborted && !(await decide()));
      if (current.capabilities.length > 0 && !signal.aborted) onOpen();
    })();
  }
  return {
    get capabilities() {
      return current.capabilities;
    },
    find: (job, node) => current.find(job, node),
  };
}

/** Where the addresses lead to: `here` if one of them leads to this machine. */
async function placeOf(
  urls: readonly (string | undefined)[],
  { resolve }: { resolve: (host: string) => Promise<string[]> },
): Promise<Place> {
  const own = ownAddresses();
  let place: Place = "elsewhere";
  for (const url of urls) {
    if (url === undefined) continue;
    const host = new URL(url).hostname.replace(/^\[(.*)\]$/, "$1");
    const addresses = isIP(host) ? [host] : await resolve(host);
    // An IPv4 address that is written as one of IPv6 is checked as the former.
    const isOwn = (address: string) => own.check(address, isIP(address) === 6 ? "ipv6" : "ipv4");
    if (addresses.some(isOwn)) return "here";
    if (addresses.length === 0) place = "unknown";
  }
  return place;
}

/** The addresses of this machine. The unspecified ones lead to it as well. */
function ownAddresses(): BlockList {
  const own = new BlockList();
  own.addSubnet("127.0.0.0", 8, "ipv4");
  own.addSubnet("0.0.0.0", 8, "ipv4");
  own.addSubnet("::", 127, "ipv6");
  for (const { address, family } of Object.values(networkInterfaces()).flatMap(
    (each = []) => each,
  )) {
    own.addAddress(address, family === "IPv6" ? "ipv6" : "ipv4");
  }
  return own;
}

const resolveAll = (host: string): Promise<string[]> =>
  lookup(host, { all: true }).then(
    (found) => found.map(({ address }) => address),
    () => [],
  );
