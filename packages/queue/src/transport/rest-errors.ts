import {
  fromSqlState,
  isPostgrests,
  QueueAccessError,
  QueueRequestError,
  QueueUnavailableError,
  type SqlError,
} from "../errors.ts";

/** The statuses of a gateway for a request that is too large. */
const TOO_LARGE = new Set([413, 414, 431]);

/**
 * The messages of Supabase's gateways for a key that is not of the project. They have no code like
 * PostgREST's, and no other server uses these words.
 */
const KEY_REFUSED =
  /^(Invalid API key|No API key found in request|Invalid authentication credentials)\b/;

/** A JWT that is not valid yet: the clocks differ, or the key was created this second. */
const NOT_YET_VALID = /issued at future|not yet valid/i;

/** What a person has to do, by the status of an answer that PostgREST did not write. */
const ADVICE: Readonly<Record<number, string>> = {
  402: "the project is over its quota: raise the quota or reduce the usage in the Supabase dashboard",
  540: "the project is paused: restore it in the Supabase dashboard",
};

const IN_BETWEEN =
  "the answer is not from the database's API but from a proxy, a firewall, or a network that requires a login; open SUPABASE_URL in a browser on this machine";

const NO_NAME =
  "the host name has no address: check SUPABASE_URL and this machine's DNS; a paused or deleted project has no address";

/** Creates the error for a call that got no answer in time. */
export const timeoutError = (name: string): QueueUnavailableError =>
  new QueueUnavailableError(name, "timeout", "no answer in time");

/**
 * Creates the error for a call that got no answer.
 *
 * @param options.code - The system's code, or a text that contains it.
 */
export const networkError = (
  name: string,
  message: string,
  { code, cause }: { code: string | undefined; cause: unknown },
): QueueUnavailableError =>
  new QueueUnavailableError(name, "network", message, {
    cause,
    advice: code !== undefined && /ENOTFOUND/.test(code) ? NO_NAME : undefined,
  });

/**
 * Creates the error for an answer that is not a function's.
 *
 * @param body - PostgREST's description of the error, or what a server in front of it sent: any
 *   JSON, or `{ message }` with a text that is no JSON.
 */
export function answerError(name: string, status: number, body: unknown): Error {
  const error = readError(body);
  const detail = `HTTP ${status}: ${error.message}`;
  // If PostgREST did not write the answer, its status says nothing about the call.
  if (!isPostgrests(error)) {
    if (status === 401 && KEY_REFUSED.test(error.message)) {
      return new QueueAccessError(name, detail);
    }
    if (TOO_LARGE.has(status)) {
      return new QueueRequestError(name, { code: "INVALID_ARGUMENT", message: detail });
    }
    // PostgREST itself sends an empty code with status 400 when it lost Postgres during the call.
    const isOthers = status < 500 && status !== 429 && error.code !== "";
    const advice = ADVICE[status] ?? (isOthers ? IN_BETWEEN : undefined);
    return new QueueUnavailableError(name, "server", detail, { cause: error, advice });
  }
  const known = fromSqlState(name, error);
  if (known) return known;
  if (status === 401 && NOT_YET_VALID.test(error.message)) {
    return new QueueUnavailableError(name, "server", detail, { cause: error });
  }
  if (status === 401 || status === 403) return new QueueAccessError(name, detail);
  return status < 500
    ? new QueueRequestError(name, { code: "INVALID_ARGUMENT", message: detail })
    : new QueueUnavailableError(name, "server", detail, { cause: error });
}

/** Reads an error as PostgREST writes it, from any body. */
function readError(body: unknown): SqlError {
  const { message, code, details, hint } = Object(body) as Record<string, unknown>;
  const text = (value: unknown) => (typeof value === "string" ? value : undefined);
  // A server in front of PostgREST may answer with a whole page.
  const said = text(message)?.slice(0, 300) || "no message";
  return { message: said, code: text(code), details: text(details), hint: text(hint) };
}
