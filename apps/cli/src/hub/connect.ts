import { createHubClient, type HubClient } from "@loom/client";
import { CliError, hubAway, unknownName } from "../errors.ts";
import { readContexts } from "./contexts.ts";

/** Where the hub is, and with which token it is asked. */
export interface Target {
  url: string;
  token: string | undefined;
  /** The name of the context; null where the environment says where the hub is. */
  context: string | null;
}

/** The hub that a command talks to. */
export interface Hub extends Target {
  client: HubClient;
}

/** How long an answer may take; a stream has a signal of its own. */
const ANSWER_MS = 30_000;

/** Causes after which asking again at once is of no use. */
const HOPELESS = new Set([
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
]);

/**
 * Finds the hub: `--context`, else `LOOM_URL` with `LOOM_TOKEN`, else the current context.
 *
 * A saved token goes only to the address that it was saved for, so `LOOM_URL` takes one only where it
 * is that address. `LOOM_TOKEN` belongs to `LOOM_URL`: nobody can say for which hub it is otherwise.
 */
export function findTarget(env: NodeJS.ProcessEnv, named?: string | undefined): Target {
  const given = env.LOOM_URL?.trim();
  const { current, contexts } = readContexts(env);
  if (given && named === undefined) {
    const url = toUrl(given, "LOOM_URL");
    const saved = Object.entries(contexts).find(([, context]) => toUrl(context.url) === url);
    const token = env.LOOM_TOKEN?.trim() || saved?.[1].token;
    return { url, token, context: null };
  }
  const name = named || env.LOOM_CONTEXT?.trim() || current;
  if (!name) {
    throw new CliError("NO_HUB", {
      what: "no hub is chosen",
      why: "LOOM_URL is not set, and nobody logged in here",
      fix: "loom login http://HOST:3000",
    });
  }
  const context = Object.hasOwn(contexts, name) ? contexts[name] : undefined;
  if (!context) {
    const known = Object.keys(contexts);
    const what = `there is no context ${name}`;
    const asked = { what, name, known, argv: process.argv.slice(2), list: "loom context ls" };
    throw unknownName("UNKNOWN_CONTEXT", asked);
  }
  return { url: toUrl(context.url), token: context.token, context: name };
}

/** Finds the hub and creates its client. */
export function connect(env: NodeJS.ProcessEnv, named: string | undefined): Hub {
  const target = findTarget(env, named);
  return { ...target, client: createClient(target) };
}

/** A client that follows no redirect, and gives up where nobody answers. */
export const createClient = (
  { url, token }: Pick<Target, "url" | "token">,
  { retries = 3 }: { retries?: number } = {},
) =>
  createHubClient({
    url,
    retries,
    ...(token !== undefined && { token }),
    async fetch(address, init) {
      try {
        const signal = init?.signal ?? AbortSignal.timeout(ANSWER_MS);
        return await fetch(address, { ...init, redirect: "manual", signal });
      } catch (error) {
        const cause = (error as Error).cause as NodeJS.ErrnoException | undefined;
        if (!HOPELESS.has(String(cause?.code))) throw error;
        throw hubAway(url, cause?.message || String(cause?.code), error);
      }
    },
  });

/**
 * An address of a hub in one form, without a slash at its end.
 *
 * @throws CliError `USAGE`.
 */
export function toUrl(text: string, what = "the address"): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain = url && !url.username && !url.password && !url.search && !url.hash;
  if (!isPlain || !/^https?:$/.test(url.protocol)) {
    throw new CliError("USAGE", {
      what: `${what} is not one of a hub`,
      why: "it must look like http://pi:3000, without a name, a password or a query",
      fix: "loom login http://HOST:PORT",
    });
  }
  return url.href.replace(/\/$/, "");
}
