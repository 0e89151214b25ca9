import * as http from "node:http";
import * as https from "node:https";
import { isIP } from "node:net";
import { checkedLookup, isRefusedAddress, RefusedAddressError } from "./addresses.ts";

/** How a target answered. */
export interface Answer {
  status: number;
  /** Its beginning, as text. */
  answer: string;
  /** What `Retry-After` asks for. */
  retryAfterMs: number | undefined;
}

/** How much of an answer is read. */
const ANSWER_BYTES = 2_048;

/**
 * Posts JSON to an address. It follows no redirect and keeps no connection.
 *
 * @throws RefusedAddressError for a link-local address, and the errors of `node:http`.
 */
export async function postJson(
  address: string,
  body: string,
  { headers = {}, signal }: { headers?: Readonly<Record<string, string>>; signal: AbortSignal },
): Promise<Answer> {
  const url = new URL(address);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  if (isIP(host) && isRefusedAddress(host)) throw new RefusedAddressError(host);
  const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
  const { request } = url.protocol === "https:" ? https : http;
  request(url, {
    method: "POST",
    headers: {
      ...headers,
      "content-type": "application/json",
      "content-length": Buffer.byteLength(body),
      "user-agent": "loom",
    },
    lookup: checkedLookup,
    agent: false,
    signal,
  })
    .once("response", resolve)
    // Nobody asked for another protocol. Without a listener, node:http would end the connection without a word.
    .once("upgrade", (_, socket) => {
      socket.destroy();
      reject(new Error("it answered 101, which is no answer to a message"));
    })
    .once("error", reject)
    .end(body);
  const response = await promise;
  const parts: Buffer[] = [];
  let read = 0;
  // Leaving the loop ends the connection.
  for await (const part of response as AsyncIterable<Buffer>) {
    parts.push(part);
    read += part.length;
    if (read >= ANSWER_BYTES) break;
  }
  const answer = Buffer.concat(parts).subarray(0, ANSWER_BYTES).toString("utf8");
  const retryAfterMs = toMilliseconds(response.headers["retry-after"]);
  return { status: response.statusCode ?? 0, answer, retryAfterMs };
}

/** The time of a `Retry-After` in whole seconds. A date, and what no time is, are as if they were not there. */
const toMilliseconds = (seconds: string | undefined): number | undefined =>
  seconds !== undefined && /^\d{1,9}$/.test(seconds) ? Number(seconds) * 1_000 : undefined;
