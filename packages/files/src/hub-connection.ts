// The hub's own node, and an agent over HTTP.
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import { type Queue, QueueRequestError, QueueUnavailableError } from "@loom/queue";
import { FileError, type FileHolder } from "@loom/worker";
import type { FileRef } from "@loom/workflow";
import { z } from "zod";
import { type FileStore, StoreError } from "./store.ts";
import { ConnectionError, type FileConnection } from "./transfer.ts";
import type { Uploads } from "./uploads.ts";

/** The connection of the hub's own node: it is in the same process. */
export function createOwnConnection({
  node,
  queue,
  store,
  uploads,
}: {
  node: string;
  queue: Queue;
  store: FileStore;
  uploads: Uploads;
}): FileConnection<FileHolder> {
  const claimOf = ({ id, fence }: FileHolder) => ({ node, job: id, fence });
  return {
    begin: (holder, file) =>
      withFileErrors(async () => {
        const id = await queue.beginFile(claimOf(holder), store.id, file);
        return id === null ? null : { id, next: await uploads.open(id, file, node) };
      }),
    part: (id, at, content) =>
      withFileErrors(() => uploads.part(id, at, node, async () => content)),
    finish: (id) =>
      withFileErrors(async () => {
        await uploads.finish(id, node);
      }),
    read: (holder, { sha256, name }, { from, signal }) =>
      withFileErrors(async () => {
        const file = await queue.openFile(claimOf(holder), sha256);
        if (!file) throw notFound(name);
        if (file.store !== store.id) throw elsewhere(file.store);
        return await store.read(file.id, { from, signal });
      }),
  };
}

/** Converts what the hub's parts throw to what a transfer knows. */
async function withFileErrors<Result>(call: () => Promise<Result>): Promise<Result> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof QueueUnavailableError) {
      throw new ConnectionError(error.message, { cause: error });
    }
    if (error instanceof QueueRequestError) {
      throw new FileError(error.code, error.message, { cause: error });
    }
    if (error instanceof StoreError) {
      if (error.code === "STORE_UNAVAILABLE") {
        throw new ConnectionError(error.message, { cause: error });
      }
      throw new FileError(error.code, error.message, { cause: error });
    }
    throw error;
  }
}

/** The run has no such file. */
export const notFound = (name: string): FileError =>
  new FileError(
    "FILE_NOT_FOUND",
    `this run has no file ${name} with this SHA-256: pass on what ctx.files.put returned, or name the file in the run's input`,
  );

/** The file is in a store that this hub does not have. */
export const elsewhere = (store: string): FileError =>
  new FileError(
    "FILE_ELSEWHERE",
    `the file is in the store ${store}, which this hub does not use: hubs of one database need one bucket (docs/files.md)`,
  );

/** How long an answer may take. The last one of a large file waits for the hub's disk. */
const ANSWER_MS = 60_000;

/** How an agent is known to the hub: by what it calls the database with. */
export interface NodeCredentials {
  /** The project's publishable key, or the service key. */
  key: string;
  nodeKey: string | undefined;
}

/**
 * The connection of an agent: to the hub that it joined, and to no other address.
 *
 * @param options.hubUrl - Such as `http://oracle.tail1234.ts.net:3000`.
 */
export function createHubConnection({
  hubUrl,
  node,
  credentials,
}: {
  hubUrl: string;
  node: string;
  /** Asked for each request: a key may change. */
  credentials: () => NodeCredentials;
}): FileConnection<FileHolder> {
  const base = new URL(hubUrl);
  const send = base.protocol === "https:" ? httpsRequest : httpRequest;

  /** Sends a request, and resolves with the answer when its head is there. */
  function ask(
    method: string,
    path: string,
    {
      body,
      type,
      signal,
      more = {},
    }: {
      body?: Uint8Array;
      type?: string;
      signal?: AbortSignal;
      more?: Record<string, string>;
    } = {},
  ) {
    const { key, nodeKey } = credentials();
    return new Promise<import("node:http").IncomingMessage>((resolve, reject) => {
      const sent = send(new URL(path, base), {
        method,
        headers: {
          apikey: key,
          ...(nodeKey !== undefined && { "x-loom-node-key": nodeKey }),
          ...more,
          ...(type !== undefined && { "content-type": type }),
          "content-length": body?.length ?? 0,
        },
        timeout: ANSWER_MS,
        ...(signal && { signal }),
      });
      sent.once("timeout", () => sent.destroy(new Error(`no answer in ${ANSWER_MS / 1_000} s`)));
      const fail = (cause: Error) =>
        reject(
          new ConnectionError(`the hub at ${base.host} does not answer: ${cause.message}`, {
            cause,
          }),
        );
      sent.once("error", fail);
      sent.once("response", (answer) => {
        // It may answer before it has read all of a part, and close the connection then.
        sent.off("error", fail).on("error", () => {});
        resolve(answer);
      });
      sent.end(body);
    });
  }

  async function answered<Schema extends z.ZodType>(
    asked: ReturnType<typeof ask>,
    schema: Schema,
  ): Promise<z.output<Schema>> {
    const answer = await asked;
    const text = await readText(answer);
    if (answer.statusCode !== 200) throw toError(answer, text);
    const read = schema.safeParse(toJson(text));
    if (!read.success) throw new ConnectionError("the hub's answer cannot be read");
    return read.data;
  }

  return {
    async begin({ id: job, fence }, file: FileRef) {
      const body = Buffer.from(JSON.stringify({ node, job, fence, ...file }));
      const { id, next } = await answered(
        ask("POST", "files", { body, type: "application/json" }),
        begun,
      );
      return id === null ? null : { id, next };
    },
    async part(id, at, content, signal) {
      const type = "application/octet-stream";
      await answered(ask("PUT", `files/${id}/${at}`, { body: content, type, signal }), z.unknown());
    },
    async finish(id) {
      await answered(ask("POST", `files/${id}/finish`), z.unknown());
    },
    async read({ id: job, fence }, { sha256 }, { from, signal }) {
      const query = new URLSearchParams({ node, job: String(job), fence: String(fence) });
      const answer = await ask("GET", `files/${sha256}?${query}`, {
        signal,
        ...(from > 0 && { more: { range: `bytes=${from}-` } }),
      });
      if (answer.statusCode !== (from > 0 ? 206 : 200)) {
        throw toError(answer, await readText(answer));
      }
      return answer;
    },
  };
}

const begun = z.object({ id: z.uuid().nullable(), next: z.int() });

/** Far beyond what the hub answers. */
const MAX_ANSWER = 65_536;

async function readText(answer: import("node:http").IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of answer as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_ANSWER) break;
      chunks.push(chunk);
    }
  } catch (cause) {
    throw new ConnectionError("the hub's answer broke off", { cause });
  }
  return Buffer.concat(chunks).toString();
}

const problem = z.object({ code: z.string(), detail: z.string(), hint: z.string() });

/** The problem of an answer. One that passes by itself is worth another try. */
function toError(
  { statusCode = 0, headers }: import("node:http").IncomingMessage,
  text: string,
): Error {
  const read = problem.safeParse(toJson(text));
  const said = read.success ? `${read.data.detail}: ${read.data.hint}` : `HTTP ${statusCode}`;
  const isPassing = statusCode === 429 || statusCode === 408 || statusCode >= 500;
  if (isPassing && read.data?.code !== "STORE_FULL") {
    return new ConnectionError(said, { afterMs: 1_000 * Number(headers["retry-after"] ?? 0) || 0 });
  }
  return new FileError(read.data?.code ?? "HUB_REFUSED", said);
}

function toJson(text: string): unknown {
  try {
    return text === "" ? null : JSON.parse(text);
  } catch {
    return undefined;
  }
}
