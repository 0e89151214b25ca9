// What nodes call to store and read files: /files. The database decides, with the caller's own key.
import { Readable } from "node:stream";
import {
  addressOf,
  bindingsOf,
  createRateLimiter,
  type HubEnv,
  onError,
  problem,
  type RequestContext,
} from "@loom/http";
import {
  digestOf,
  type FileClaim,
  isNodeKeyShaped,
  type Queue,
  QueueAccessError,
} from "@loom/queue";
import { createHttpQueue } from "@loom/queue/http";
import type { Log } from "@loom/worker";
import { limits } from "@loom/workflow";
import { Hono, type MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import { LRUCache } from "lru-cache";
import { z } from "zod";
import { elsewhere, notFound } from "./hub-connection.ts";
import { partReader } from "./part-reader.ts";
import { toFileProblem } from "./problems.ts";
import type { FileStore } from "./store.ts";
import type { Uploads } from "./uploads.ts";

/** A node sends 5 MiB a request, and may have several files under way. */
const RATE_OF_KEY = { burst: 400, perSecond: 100 };
const RATE_OF_ADDRESS = { burst: 1_000, perSecond: 300 };
/** Requests of one key under way: each may hold a connection for as long as its part takes to arrive. */
const AT_ONCE = 16;
/** The clients of the database that are kept, one for each key. */
const CLIENTS = { max: 1_000, ttl: 600_000 };
const MAX_FACTS_BYTES = 4_096;
/** A download of which the caller takes nothing for this long ends. It may go on where it ended. */
const STALLED_MS = 60_000;

/** The files of a hub. */
export interface HubFiles {
  readonly store: FileStore;
  readonly uploads: Uploads;
}

const facts = z.strictObject({
  node: z.string().max(limits.nodeNameLength),
  job: z.int().positive(),
  fence: z.int().positive(),
  name: z.string().max(limits.fileNameBytes),
  size: z.int().nonnegative(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
const claimQuery = z.object({
  node: z.string().max(limits.nodeNameLength),
  job: z.coerce.number().int().positive(),
  fence: z.coerce.number().int().positive(),
});

type Env = {
  Variables: HubEnv["Variables"] & {
    sender: string;
    /** What the answer is read from, which ends when its last byte is sent or the caller has gone. */
    content: Readable | undefined;
    caller: Pick<Queue, "beginFile" | "openFile">;
  };
};

/**
 * Takes and gives files of nodes.
 *
 * A caller sends what it calls the database with: the project's key in `apikey` and its own in `x-loom-node-key`. The hub asks the
 * database with exactly these, so a node gets here what it could get there, and nothing else. The bytes of a part are read only of who
 * began the upload.
 *
 * @param options.onlySafe - Refuses requests that came a way on which others can read along.
 */
export function nodeFileRoutes({
  files: { store, uploads },
  databaseUrl,
  onlySafe,
  log,
}: {
  files: HubFiles;
  databaseUrl: string;
  onlySafe: MiddlewareHandler;
  log: Log;
}) {
  const countKey = createRateLimiter(RATE_OF_KEY);
  const countAddress = createRateLimiter(RATE_OF_ADDRESS);
  const clients = new LRUCache<string, Queue>(CLIENTS);
  const underWay = new Map<string, number>();
  const app = new Hono<Env>();

  app.use("/files/*", onlySafe);
  app.use("/files", onlySafe);
  const known: MiddlewareHandler<Env> = async (c, next) => {
    countAddress(c, addressOf(c));
    const key = c.req.header("apikey") ?? "";
    const nodeKey = c.req.header("x-loom-node-key");
    // Refused here as there: a call with anything else costs the database nothing.
    if (!/^[!-~]{1,4096}$/.test(key) || (nodeKey !== undefined && !isNodeKeyShaped(nodeKey))) {
      throw problem("NODE_KEY_MISSING");
    }
    const sender = digestOf(`${key} ${nodeKey ?? ""}`);
    countKey(c, sender);
    const calls = underWay.get(sender) ?? 0;
    if (calls >= AT_ONCE) throw problem("TOO_MANY_CALLS", `${AT_ONCE} requests`);
    underWay.set(sender, calls + 1);
    let client = clients.get(sender);
    if (!client) {
      client = createHttpQueue({ url: databaseUrl, key, nodeKey });
      clients.set(sender, client);
    }
    c.set("sender", sender);
    c.set("caller", client);
    const leave = () => {
      const left = (underWay.get(sender) ?? 1) - 1;
      if (left === 0) underWay.delete(sender);
      else underWay.set(sender, left);
    };
    try {
      await next();
    } finally {
      const content = c.get("content");
      if (content && !content.closed) content.once("close", leave);
      else leave();
    }
  };
  app.onError((error, c) => {
    // The caller's key, and not the hub's own.
    const isRefused = error instanceof QueueAccessError;
    return onError(log)(isRefused ? problem("NODE_KEY_REFUSED") : toFileProblem(error), c);
  });

  app.post("/files", known, limit(MAX_FACTS_BYTES), async (c) => {
    const { node, job, fence, ...file } = parse(facts, await c.req.json().catch(() => null));
    const id = await c.get("caller").beginFile({ node, job, fence }, store.id, file);
    if (id === null) return c.json({ id: null, next: 0 });
    return c.json({ id, next: await uploads.open(id, file, c.get("sender")) });
  });

  app.put("/files/:id/:part", known, async (c) => {
    const { id, part } = c.req.param();
    const at = /^\d{1,6}$/.test(part) ? Number(part) : Number.NaN;
    await uploads.part(id, at, c.get("sender"), partReader(c));
    return c.json({});
  });

  app.post("/files/:id/finish", known, async (c) => {
    await uploads.finish(c.req.param("id"), c.get("sender"));
    return c.json({});
  });

  app.get("/files/:sha256", known, async (c) => {
    const claim: FileClaim = parse(claimQuery, c.req.query());
    const sha256 = c.req.param("sha256");
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw notFound("");
    const file = await c.get("caller").openFile(claim, sha256);
    if (!file) throw notFound("");
    return await sendObject(c, file, {
      store,
      onContent: (content) => c.set("content", content),
    });
  });

  return app;
}

/**
 * Answers with a file's content, or with its end from the byte on that `Range` names. A caller that stops reading is
 * disconnected: it would hold the file, and a connection to a bucket.
 *
 * @param options.onContent - Called with what is sent.
 */
export async function sendObject(
  c: Pick<RequestContext, "req" | "body" | "env">,
  file: { id: string; store: string; size: number },
  {
    store,
    headers = {},
    onContent = () => {},
    stalledMs = STALLED_MS,
  }: {
    store: FileStore;
    stalledMs?: number;
    headers?: Record<string, string>;
    onContent?: (content: Readable) => void;
  },
): Promise<Response> {
  if (file.store !== store.id) throw elsewhere(file.store);
  const [, start] = /^bytes=(\d{1,15})-$/.exec(c.req.header("range") ?? "") ?? [];
  const from = start === undefined ? 0 : Number(start);
  if (from > 0 && from >= file.size) throw problem("RANGE_INVALID", file.size);
  const status = from > 0 ? 206 : 200;
  const facts = {
    "content-type": "application/octet-stream",
    "content-length": String(file.size - from),
    "accept-ranges": "bytes",
    ...(from > 0 && { "content-range": `bytes ${from}-${file.size - 1}/${file.size}` }),
    ...headers,
  };
  // Nobody would read it, or close it.
  if (c.req.method === "HEAD") return c.body(null, status, facts);
  const content = await store.read(file.id, { from, signal: c.req.raw.signal });
  onContent(content);
  // Until the answer ends; then the connection has the time of idle ones.
  bindingsOf(c).outgoing?.setTimeout(stalledMs);
  return c.body(Readable.toWeb(content) as ReadableStream, status, facts);
}

const limit = (maxSize: number) =>
  bodyLimit({
    maxSize,
    onError: () => {
      throw problem("BODY_TOO_LARGE", `${maxSize} bytes`);
    },
  });

function parse<Schema extends z.ZodType>(schema: Schema, value: unknown): z.output<Schema> {
  const read = schema.safeParse(value);
  if (read.success) return read.data;
  throw problem(
    "INVALID_REQUEST",
    "files",
    read.error.issues.map(({ path, message }) => ({ path: path.join("."), message })),
  );
}
