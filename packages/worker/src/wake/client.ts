import { type IncomingMessage, request } from "node:http";
import { BlockList, isIPv4 } from "node:net";
import type { Log } from "../log.ts";

/** The address of a wake server. */
export interface WakeAddress {
  /** An IP address in the tailnet, or a loopback address. */
  address: string;
  port: number;
}

/** A wake server, and the local address to reach it from. */
export interface WakeRoute extends WakeAddress {
  /**
   * The local address to send from. If no route leads from there, the request is not sent to
   * anybody.
   */
  from?: string | undefined;
}

/**
 * The path of a wake-up: a request without content, except for an optional port to wake the caller
 * at.
 */
export const WAKE_PATH = "/wake";

// A header and not a body: a browser sends a custom header only after it has asked the server.
export const REPLY_PORT_HEADER = "loom-wake-reply-port";

/** In the answer: the clock of the wake server's machine, in milliseconds since 1970. */
export const CLOCK_HEADER = "loom-clock";

/** A wake server that has not answered after this time counts as unreachable. */
const TIMEOUT_MS = 1_000;

/** The answer of a wake server. */
export interface WakeAnswer {
  /**
   * The other machine's clock when the wake-up arrived, in milliseconds since 1970. Undefined when
   * the wake server does not report it.
   */
  clockMs: number | undefined;
}

/**
 * Sends one wake-up.
 *
 * @param options.replyPort - The port of the caller's own wake server, if the other may wake the
 * caller.
 * @throws When the server did not answer with 204 within a second.
 * @throws RangeError for an address that is neither in the tailnet nor loopback: a node reports its
 * own address, and must not be able to direct requests elsewhere.
 */
export function sendWakeUp(
  { address, port, from }: WakeRoute,
  { replyPort }: { replyPort?: number | undefined } = {},
): Promise<WakeAnswer> {
  if (!isNeighbour(address)) {
    return Promise.reject(
      new RangeError(`${address} is neither a tailnet address nor a loopback address`),
    );
  }
  return new Promise((resolve, reject) => {
    const asked = request({
      host: address,
      port,
      path: WAKE_PATH,
      method: "POST",
      agent: false,
      ...(from !== undefined && { localAddress: from }),
      headers: { "content-length": 0, ...(replyPort && { [REPLY_PORT_HEADER]: replyPort }) },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    asked.on("error", reject);
    asked.on("response", (answer) => {
      answer.destroy();
      if (answer.statusCode === 204) resolve({ clockMs: clockOf(answer) });
      else reject(new Error(`${address}:${port} answered ${answer.statusCode}: not a wake server`));
    });
    asked.end();
  });
}

function clockOf({ headers }: IncomingMessage): number | undefined {
  const sent = String(headers[CLOCK_HEADER] ?? "");
  // Thirteen digits until the year 2286.
  return /^\d{13}$/.test(sent) ? Number(sent) : undefined;
}

const FIRST_SILENCE_MS = 5_000;
const MAX_SILENCE_MS = 300_000;
/** How many unresponsive wake servers are remembered. */
const MAX_SILENT = 1_000;

/**
 * The result of a wake-up. `silenced`: it was not sent, because the server did not answer recently.
 */
export type WakeResult = "answered" | "unanswered" | "silenced";

export interface WakeClientOptions {
  log: Log;
  /** Called with the result of each request. Wake-ups that share a request are reported once. */
  onWoken?: (result: WakeResult) => void;
  /** Returns the port of the caller's own wake server, if others may wake the caller. */
  replyPort?: () => number | undefined;
  /** Clock in milliseconds; must not run backwards. Default `performance.now`. */
  now?: () => number;
}

/** Wakes wake servers, and pauses for those that do not answer. */
export interface WakeClient {
  /**
   * Sends a wake-up without waiting for it. A call during a request to the same server sends one
   * more request afterwards, because the server may have looked for work before there was any.
   */
  wake(waker: WakeRoute): void;
}

interface State {
  failures: number;
  silentUntil: number;
  isWaking: boolean;
  isWanted: boolean;
}

/**
 * Creates a wake client. It sends nothing to a wake server that did not answer for 5 s, and for
 * twice as long after each further failure, up to 5 min. The server's owner polls meanwhile.
 */
export function createWakeClient({
  log,
  onWoken = () => {},
  replyPort = () => undefined,
  now = () => performance.now(),
}: WakeClientOptions): WakeClient {
  // Holds only servers that are being woken or did not answer.
  const states = new Map<string, State>();

  async function wakeWhileWanted(waker: WakeRoute, key: string, state: State): Promise<void> {
    state.isWaking = true;
    while (state.isWanted) {
      state.isWanted = false;
      try {
        await sendWakeUp(waker, { replyPort: replyPort() });
        if (state.failures > 0) log.info({ wakeServer: key }, "wake server answers again");
        state.failures = 0;
        onWoken("answered");
      } catch (error) {
        state.failures += 1;
        const silentMs = silenceMs(state.failures);
        state.silentUntil = now() + silentMs;
        state.isWanted = false;
        onWoken("unanswered");
        log.warn({ wakeServer: key, silentMs, err: error }, "wake server did not answer");
      }
    }
    state.isWaking = false;
    if (state.failures === 0) states.delete(key);
  }

  return {
    wake(waker) {
      const key = `${waker.address}:${waker.port}`;
      const state = states.get(key) ?? {
        failures: 0,
        silentUntil: Number.NEGATIVE_INFINITY,
        isWaking: false,
        isWanted: false,
      };
      if (now() < state.silentUntil) {
        onWoken("silenced");
        return;
      }
      state.isWanted = true;
      states.set(key, state);
      forgetOldest(states);
      if (!state.isWaking) void wakeWhileWanted(waker, key, state);
    },
  };
}

/** How long a wake server gets no requests after this many failures in a row. */
export const silenceMs = (failures: number): number =>
  Math.min(MAX_SILENCE_MS, FIRST_SILENCE_MS * 2 ** (failures - 1));

function forgetOldest(states: Map<string, State>): void {
  for (const [key, { isWaking }] of states) {
    if (states.size <= MAX_SILENT) return;
    if (!isWaking) states.delete(key);
  }
}

/** How many hubs of one mesh are remembered. A mesh rarely has more than one. */
const MAX_ADDRESSES = 4;

/** Wakes the callers that have woken this process. */
export interface ReplyWaker {
  /** Keeps the address of a caller. The four latest are kept. */
  remember(waker: WakeRoute | undefined): void;
  /** Wakes all of them. */
  wake(): void;
}

/**
 * Creates a waker for the callers that have woken this process. An agent learns its hubs' addresses
 * this way, also after a hub has moved, because a hub that places a job wakes the agent.
 */
export function createReplyWaker(wakeClient: WakeClient): ReplyWaker {
  const wakeServers = new Map<string, WakeRoute>();
  return {
    remember(waker) {
      if (!waker) return;
      const key = `${waker.address}:${waker.port}`;
      wakeServers.delete(key);
      wakeServers.set(key, waker);
      const [oldest] = wakeServers.keys();
      if (wakeServers.size > MAX_ADDRESSES && oldest !== undefined) wakeServers.delete(oldest);
    },
    wake() {
      for (const waker of wakeServers.values()) wakeClient.wake(waker);
    },
  };
}

const neighbours = new BlockList();
neighbours.addSubnet("127.0.0.0", 8, "ipv4");
neighbours.addAddress("::1", "ipv6");
// The ranges that Tailscale assigns to nodes: tailscale net/tsaddr CGNATRange, TailscaleULARange.
neighbours.addSubnet("100.64.0.0", 10, "ipv4");
neighbours.addSubnet("fd7a:115c:a1e0::", 48, "ipv6");

/** Whether an IP address is loopback or in the tailnet, in any notation. */
export const isNeighbour = (address: string): boolean =>
  neighbours.check(address, isIPv4(address) ? "ipv4" : "ipv6");
