import type { MiddlewareHandler } from "hono";
import { problem } from "./problem.ts";

/**
 * Refuses a JSON body whose value would change when it is read: bytes that are not UTF-8 (RFC 8259, section 8.1)
 * decode as U+FFFD, and integers that a double does not hold (RFC 7493, section 2.2) are rounded.
 */
export const exactJson: MiddlewareHandler = async ({ req }, next) => {
  if (req.raw.body && /\bjson\b/i.test(req.header("content-type") ?? "")) {
    const text = decode(await req.arrayBuffer());
    const inexact = findInexact(text);
    if (inexact !== undefined) throw problem("INEXACT_NUMBER", inexact);
  }
  await next();
};

const utf8 = new TextDecoder("utf-8", { fatal: true });

function decode(bytes: ArrayBuffer): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw problem("INVALID_UTF8");
  }
}

// A string or a number. Each character is read once.
const TOKEN = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs;
const WHOLE = /^-?\d+$/;

/** The first whole number of a JSON text that would be rounded. */
function findInexact(text: string): string | undefined {
  // Only a number of 16 digits or more can be rounded.
  if (!/\d{16}/.test(text)) return undefined;
  for (const [token] of text.matchAll(TOKEN)) {
    if (token.length >= 16 && WHOLE.test(token) && !Number.isSafeInteger(Number(token))) {
      return token;
    }
  }
  return undefined;
}
