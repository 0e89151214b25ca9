import type { Problem } from "./schemas/problem.ts";

/** The address of a hub, and how to authenticate there. */
export interface HubClientOptions {
  /** For example `http://oracle:3000`. */
  url: string;
  /**
   * Leave it out if the hub identifies callers in another way: its own pages, a tailnet, its own
   * machine.
   */
  token?: string;
  /** The number of retries after no answer, a 503 or a 429. Default 3. */
  retries?: number;
  fetch?: typeof fetch;
}

/** Options of every call. */
export interface CallOptions {
  signal?: AbortSignal;
}

/** Options of a call that changes something. */
export interface ChangeOptions extends CallOptions {
  /** The hub executes requests with one key only once. Default: a new key for every call. */
  idempotencyKey?: string;
}

type Query = Readonly<Record<string, string | number | undefined>>;

interface SendOptions extends CallOptions {
  query?: Query | undefined;
  body?: unknown;
  /** Bytes, in place of a JSON body. */
  content?: Uint8Array;
  headers?: Record<string, string>;
}

/** @throws HubError for every status that is not 2xx. */
export type Send = (method: string, path: string, options?: SendOptions) => Promise<Response>;

/** The hub refused a request, or could not answer it. */
export class HubError extends Error {
  override readonly name = "HubError";
  readonly status: number;
  /**
   * A stable code such as `RUN_NOT_FOUND`; `UNREADABLE_ANSWER` when the answer is not a problem
   * document.
   */
  readonly code: string;
  readonly problem: Problem | undefined;
  /** The request's id in the hub's log. */
  readonly requestId: string | undefined;
  constructor(answer: Response, problem: Problem | undefined) {
    super(problem ? problem.detail : `HTTP ${answer.status} without a problem document`);
    this.status = answer.status;
    this.code = problem?.code ?? "UNREADABLE_ANSWER";
    this.problem = problem;
    this.requestId = answer.headers.get("x-request-id") ?? undefined;
  }
}

/** Statuses after which the same request may succeed. */
const TRANSIENT = new Set([429, 503]);

/**
 * Creates the function that sends requests. It retries transient failures. A retry is safe because
 * a request that changes something carries a key.
 */
export function createSend({
  url,
  token,
  retries = 3,
  fetch: send = fetch,
}: HubClientOptions): Send {
  return async (method, path, { query = {}, body, content, headers = {}, signal } = {}) => {
    const address = new URL(`api/loom/${path}`, url.endsWith("/") ? url : `${url}/`);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) address.searchParams.set(name, String(value));
    }
    const init: RequestInit = {
      method,
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { "content-type": "application/json" }),
        ...(content !== undefined && { "content-type": "application/octet-stream" }),
        ...headers,
      },
      ...(content !== undefined && { body: content as Uint8Array<ArrayBuffer> }),
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    };
    for (let left = retries; ; left -= 1) {
      let pauseMs = 1_000;
      try {
        const answer = await send(address, init);
        if (answer.ok) return answer;
        if (left === 0 || !TRANSIENT.has(answer.status)) throw await toHubError(answer);
        await answer.body?.cancel();
        pauseMs = 1_000 * Number(answer.headers.get("retry-after") ?? 1);
      } catch (error) {
        // fetch rejects with a TypeError when no answer came.
        if (left === 0 || !(error instanceof TypeError)) throw error;
      }
      await sleep(pauseMs, signal);
    }
  };
}

async function toHubError(answer: Response): Promise<HubError> {
  const isProblem = answer.headers.get("content-type")?.startsWith("application/problem+json");
  return new HubError(answer, isProblem ? ((await answer.json()) as Problem) : undefined);
}

/** Waits, or rejects with the signal's reason. */
export function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
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
