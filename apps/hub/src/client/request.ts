import { toHubError } from "./hub-error.ts";

/** How to reach a hub. */
export interface HubClientOptions {
  /** Such as `http://oracle:3000`. */
  url: string;
  /** Left out where the hub knows who asks otherwise: its own pages, a tailnet, its own machine. */
  token?: string;
  /** Of a request that found the hub or its database away, or that came too often; default 3. */
  retries?: number;
  fetch?: typeof fetch;
}

/** What every call takes. */
export interface CallOptions {
  signal?: AbortSignal;
}

/** What a call that changes something takes. */
export interface ChangeOptions extends CallOptions {
  /** By which the hub knows a request that it has done. Default: a new one for every call. */
  idempotencyKey?: string;
}

type Query = Readonly<Record<string, string | number | undefined>>;

interface Asked extends CallOptions {
  query?: Query | undefined;
  body?: unknown;
  headers?: Record<string, string>;
}

export type Ask = (method: string, path: string, asked?: Asked) => Promise<Response>;

/** Waits, or rejects with the signal's reason. */
export function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}

const PASSING = new Set([429, 503]);

/**
 * Makes requests, and repeats those whose failure passes. Repeating is safe: what changes something
 * goes with a key.
 *
 * The function throws HubError for every answer that is not a good one.
 */
export function createAsk({ url, token, retries = 3, fetch: send = fetch }: HubClientOptions): Ask {
  return async (method, path, { query = {}, body, headers = {}, signal } = {}) => {
    const address = new URL(`api/loom/${path}`, url.endsWith("/") ? url : `${url}/`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) address.searchParams.set(name, String(value));
    }
    const init: RequestInit = {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...headers,
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    };
    for (let left = retries; ; left -= 1) {
      let waitMs = 1_000;
      try {
        const answer = await send(address, init);
        if (answer.ok) return answer;
        if (left === 0 || !PASSING.has(answer.status)) throw await toHubError(answer);
        await answer.body?.cancel();
        waitMs = 1_000 * Number(answer.headers.get("retry-after") ?? 1);
      } catch (error) {
        // fetch rejects with a TypeError when nothing answered.
        if (left === 0 || !(error instanceof TypeError)) throw error;
      }
      await pause(waitMs, signal);
    }
  };
}
