import { addressOf, createRateLimiter, describeProblem, ProblemError, problem } from "@loom/http";
import { digestOf, isNodeKeyShaped, NODE_FUNCTIONS } from "@loom/queue";
import { limits } from "@loom/workflow";
import { type Context, Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { LRUCache } from "lru-cache";
import type { JoinHub } from "./join-context.ts";
import { safeWaysOnly } from "./place.ts";

/** Several outcomes may travel together. */
const MAX_BODY_BYTES = 2 * limits.claimBytes;
/** A node with many slots sends much output. Several nodes may share an address, behind a router. */
const RATE_OF_KEY = { burst: 400, perSecond: 100 };
const RATE_OF_ADDRESS = { burst: 2_000, perSecond: 500 };
const AT_ONCE = 64;
/** The total size of a key's bodies under way, in bytes. */
const BYTES_AT_ONCE = 8 * MAX_BODY_BYTES;
/** How many keys are remembered as good, and how long: another one is asked for first. */
const KNOWN_KEYS = { max: 10_000, ttl: 600_000 };
/** Longer than an agent waits for its answer. */
const ANSWER_MS = 30_000;

const FUNCTIONS: ReadonlySet<string> = new Set(NODE_FUNCTIONS);

/** Calls after which there may be something to place: a slot is free, a step is ready, or a node offers more. */
const MAKES_WORK: ReadonlySet<string> = new Set([
  "loom_decline_jobs",
  "loom_hello",
  "loom_report_node",
]);
/** An exchange makes work where it settles, which these arguments are for. */
const SETTLES = ['"p_ids"', '"p_items"'];

const makesWork = (called: string, body: ArrayBuffer | string): boolean => {
  if (called !== "loom_exchange") return MAKES_WORK.has(called);
  const bytes = Buffer.from(body as ArrayBuffer);
  return SETTLES.some((argument) => bytes.includes(argument));
};

/**
 * Passes an agent's calls on to the database's API, so the hub's address is the only one that a node needs.
 *
 * Only the functions of agents are passed on, as `anon`: the key in `x-loom-node-key` says which node calls, and the
 * database checks it. No other header of the caller goes along. Answers come back as they are, errors included.
 *
 * An agent's call that may make something placeable wakes the rounds, so its node needs no wake server for that.
 *
 * A body is read once the database knows the key. So a stranger, who may have any number of connections and keys, costs
 * a lookup each time and no memory.
 */
export function passThroughRoutes({ join, log, stopping, onJobsAdded }: JoinHub) {
  const countKey = createRateLimiter(RATE_OF_KEY);
  const countAddress = createRateLimiter(RATE_OF_ADDRESS);
  const takeSeat = createSeats({ calls: AT_ONCE, bytes: BYTES_AT_ONCE });
  /** Digests of keys that the database took. */
  const known = new LRUCache<string, true>(KNOWN_KEYS);
  const app = new Hono<{ Variables: { key: string } }>();
  app.use("/rest/v1/rpc/*", safeWaysOnly(join));

  app.post(
    "/rest/v1/rpc/:function",
    async (c, next) => {
      countAddress(c, addressOf(c));
      if (!FUNCTIONS.has(c.req.param("function"))) throw problem("NOT_FOUND", c.req.path);
      const key = c.req.header("x-loom-node-key") ?? "";
      // Refused here as there: a call with anything else costs the database nothing.
      if (!isNodeKeyShaped(key)) return c.json(KEY_REFUSED, 401);
      const digest = digestOf(key);
      countKey(c, digest);
      const leave = takeSeat(digest, announcedBytes(c));
      try {
        if (!known.has(digest)) {
          const tried = await pass(c, { called: "loom_describe_database", key, body: "{}" });
          if (tried.status !== 200) return tried;
          known.set(digest, true);
        }
        c.set("key", key);
        await next();
        if (c.res.status === 401 || c.res.status === 403) known.delete(digest);
      } finally {
        leave();
      }
    },
    bodyLimit({ maxSize: MAX_BODY_BYTES, onError: refuseLargeBody }),
    async (c) =>
      pass(c, {
        called: c.req.param("function"),
        key: c.get("key"),
        body: await c.req.arrayBuffer(),
      }),
  );

  async function pass(
    c: Context,
    { called, key, body }: { called: string; key: string; body: ArrayBuffer | string },
  ) {
    const answer = await fetch(`${join.databaseUrl.replace(/\/$/, "")}/rest/v1/rpc/${called}`, {
      method: "POST",
      headers: {
        ...publishable(join.publishableKey ?? ""),
        "content-type": "application/json",
        "x-loom-node-key": key,
      },
      body,
      redirect: "error",
      signal: AbortSignal.any([c.req.raw.signal, stopping, AbortSignal.timeout(ANSWER_MS)]),
    }).catch((error: unknown) => {
      log.warn({ called, err: error }, "a call of an agent did not reach the database");
      throw problem("QUEUE_UNAVAILABLE", "try again");
    });
    const type = answer.headers.get("content-type");
    if (answer.ok && makesWork(called, body)) onJobsAdded([]);
    return c.body(await answer.arrayBuffer(), answer.status as 200, {
      ...(type !== null && { "content-type": type }),
    });
  }

  return app;
}

/** How long the body of a request says it is; as long as it may be where it does not. */
const announcedBytes = (c: Context): number =>
  Math.min(Number(c.req.header("content-length") ?? MAX_BODY_BYTES), MAX_BODY_BYTES);

/** Headers by which a project knows its publishable key. One of the older form is also the token of a role. */
const publishable = (key: string): Record<string, string> => ({
  apikey: key,
  ...(key.startsWith("eyJ") && { authorization: `Bearer ${key}` }),
});

/** Counts what each key has under way: calls, and the bytes of their bodies. */
function createSeats(most: { calls: number; bytes: number }) {
  const taken = new Map<string, { calls: number; bytes: number }>();
  return (key: string, bytes: number): (() => void) => {
    const under = taken.get(key) ?? { calls: 0, bytes: 0 };
    const full =
      (under.calls >= most.calls && `${most.calls} calls`) ||
      (under.bytes + bytes > most.bytes && `calls of ${most.bytes / 2 ** 20} MiB`);
    if (full) {
      throw new ProblemError(describeProblem("TOO_MANY_CALLS", full), { "retry-after": "1" });
    }
    under.calls += 1;
    under.bytes += bytes;
    taken.set(key, under);
    return () => {
      under.calls -= 1;
      under.bytes -= bytes;
      if (under.calls === 0) taken.delete(key);
    };
  };
}

/** As the database writes it: an agent reads both alike. */
const KEY_REFUSED = {
  code: "PT401",
  message: "the key of this node is missing, or is none",
  details: "NODE_KEY_REFUSED",
  hint: "join again: loom-agent join HUB",
};

const refuseLargeBody = (): never => {
  throw problem("BODY_TOO_LARGE", `${MAX_BODY_BYTES / 2 ** 20} MiB`);
};
