import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { limits } from "@loom/workflow";
import { AwsClient } from "aws4fetch";
import { checkObjectId, type FileStore, type ObjectWriter, StoreError } from "./store.ts";

/** Where a bucket is, and the key that may use it. */
export interface S3Settings {
  /** The bucket's address with its name as the last part of the path, such as `https://s3.example.org/loom-files`. */
  url: string;
  region: string;
  keyId: string;
  secret: string;
}

/** How often a request is sent again after a 5xx or a 429, by aws4fetch, with growing pauses. */
const RETRIES = 4;
/** How long to wait for the answer to one part. */
const ANSWER_MS = 60_000;
/** Objects of others may be in the bucket too. */
const PREFIX = "loom/";

/** What an ETag of several parts ends with: how many they are. */
const PARTS_OF_TAG = /-(\d+)"?$/;

/**
 * Opens a store in a bucket of any server that speaks S3, with addresses of the form `server/bucket/key`.
 *
 * Files of more than one part are sent as multi-part uploads. Each part is signed with its SHA-256, so the server refuses one that
 * changed on the way.
 */
export function openS3Store({ url, region, keyId, secret }: S3Settings): FileStore {
  const address = new URL(url);
  const bucket = `${address.origin}${address.pathname.replace(/\/+$/, "")}`;
  const client = new AwsClient({
    accessKeyId: keyId,
    secretAccessKey: secret,
    service: "s3",
    region,
    retries: RETRIES,
  });
  const keyOf = (id: string): string => {
    checkObjectId(id);
    return `${bucket}/${PREFIX}${id}`;
  };

  async function send(
    method: string,
    to: string,
    {
      body,
      headers = {},
      signal,
    }: { body?: Uint8Array; headers?: Record<string, string>; signal?: AbortSignal } = {},
  ): Promise<Response> {
    const content = body ?? new Uint8Array();
    const answer = await client
      .fetch(to, {
        method,
        ...(body && { body: content as Uint8Array<ArrayBuffer> }),
        headers: {
          "x-amz-content-sha256": createHash("sha256").update(content).digest("hex"),
          ...headers,
        },
        signal: signal ?? AbortSignal.timeout(ANSWER_MS),
      })
      .catch((cause: Error) => {
        throw new StoreError("STORE_UNAVAILABLE", `the bucket does not answer: ${cause.message}`, {
          cause,
        });
      });
    if (!answer.ok) throw await toStoreError(answer);
    return answer;
  }

  /** Ends uploads of an object that a hub began and did not finish. */
  async function abortUploads(id: string): Promise<void> {
    const list = await send("GET", `${bucket}?uploads&prefix=${encodeURIComponent(PREFIX + id)}`);
    for (const [, uploadId = ""] of (await list.text()).matchAll(
      /<UploadId>([^<]+)<\/UploadId>/g,
    )) {
      await send("DELETE", `${keyOf(id)}?uploadId=${encodeURIComponent(decodeXml(uploadId))}`);
    }
  }

  return {
    id: `s3:${bucket.replace(/^https?:\/\//, "")}`.slice(0, 300),
    free: async () => undefined,

    open: async (id, size) =>
      size > limits.filePartBytes
        ? await createMultipart(keyOf(id), send)
        : createSingle(keyOf(id), send),

    async read(id, { from, signal }) {
      const answer = await send("GET", keyOf(id), {
        signal,
        ...(from > 0 && { headers: { range: `bytes=${from}-` } }),
      });
      if (from > 0 && answer.status !== 206) {
        throw new StoreError(
          "STORE_UNAVAILABLE",
          "the bucket does not answer with a part of a file",
        );
      }
      return answer.body ? Readable.fromWeb(answer.body as ReadableStream) : Readable.from([]);
    },

    async remove(id) {
      await send("DELETE", keyOf(id)).catch(ignoreMissing);
      // Some servers do not list uploads. There, a rule of the bucket ends them.
      await abortUploads(id).catch(ignoreStore);
    },
  };
}

type SendTo = (method: string, to: string, options?: { body?: Uint8Array }) => Promise<Response>;

function createSingle(key: string, send: SendTo): ObjectWriter {
  let isThere = false;
  let isDone = false;
  return {
    // Not kept until the end: the hub would hold a part of each of its uploads in memory.
    async write(part) {
      isThere = true;
      await (await send("PUT", key, { body: part })).body?.cancel();
    },
    async finish() {
      if (!isThere) await (await send("PUT", key)).body?.cancel();
      isThere = true;
      isDone = true;
    },
    async abort() {
      if (isDone || !isThere) return;
      isDone = true;
      // What stays goes with the sweep.
      await send("DELETE", key).catch(ignoreStore);
    },
  };
}

async function createMultipart(key: string, send: SendTo): Promise<ObjectWriter> {
  const begun = await (await send("POST", `${key}?uploads`)).text();
  const found = /<UploadId>([^<]+)<\/UploadId>/.exec(begun)?.[1];
  if (found === undefined) {
    throw new StoreError("STORE_UNAVAILABLE", "the bucket began no multi-part upload");
  }
  const uploadId = encodeURIComponent(decodeXml(found));
  const tags: string[] = [];
  let size = 0;
  let isDone = false;
  /** Whether the bucket was asked to join the parts, and did not say whether it has. */
  let isUnsure = false;

  /** Whether the object is there: nothing but this upload can have made it. */
  async function isThere(): Promise<boolean> {
    const found = await send("HEAD", key).catch(ignoreMissing);
    if (!found) return false;
    const { headers } = found;
    const parts = PARTS_OF_TAG.exec(headers.get("etag") ?? "")?.[1];
    return (
      headers.get("content-length") === String(size) &&
      (parts === undefined || Number(parts) === tags.length)
    );
  }

  return {
    async write(part) {
      const to = `${key}?partNumber=${tags.length + 1}&uploadId=${uploadId}`;
      const answer = await send("PUT", to, { body: part });
      await answer.body?.cancel();
      const tag = answer.headers.get("etag");
      if (tag === null) throw new StoreError("STORE_UNAVAILABLE", "the bucket named no ETag");
      tags.push(tag);
      size += part.length;
    },
    async finish() {
      if (isDone) return;
      if (isUnsure && (await isThere())) {
        isDone = true;
        return;
      }
      const parts = tags.map(
        (tag, at) =>
          `<Part><PartNumber>${at + 1}</PartNumber><ETag>${encodeXml(tag)}</ETag></Part>`,
      );
      const body = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
      let answer: Response;
      try {
        answer = await send("POST", `${key}?uploadId=${uploadId}`, { body: Buffer.from(body) });
      } catch (error) {
        isUnsure = true;
        // The upload is over. It may have ended well, and the answer to an earlier try been lost.
        const isGone = error instanceof StoreError && error.code === "FILE_GONE";
        if (!isGone || !(await isThere())) throw error;
        isDone = true;
        return;
      }
      // S3 answers 200 before it knows: https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
      const text = await answer.text();
      if (/<Error>/.test(text)) {
        throw new StoreError(
          "STORE_UNAVAILABLE",
          `the bucket did not join the parts: ${codeIn(text)}`,
        );
      }
      isDone = true;
    },
    async abort() {
      if (isDone) return;
      isDone = true;
      // What stays of it goes with the sweep, or by a rule of the bucket.
      await send("DELETE", `${key}?uploadId=${uploadId}`).catch(ignoreStore);
    },
  };
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&amp;": "&",
  "&lt;": "<",
  "&gt;": ">",
  "&quot;": '"',
  "&#34;": '"',
  "&apos;": "'",
};

const decodeXml = (text: string): string =>
  text.replace(/&(?:amp|lt|gt|quot|#34|apos);/g, (entity) => ENTITIES[entity] ?? entity);

const encodeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");

const codeIn = (xml: string): string => /<Code>([A-Za-z0-9]{1,60})<\/Code>/.exec(xml)?.[1] ?? "";

const FULL = /quota|insufficient|storagefull|nospace/i;

async function toStoreError(answer: Response): Promise<StoreError> {
  const { status } = answer;
  const code = codeIn((await answer.text()).slice(0, 10_000)) || `HTTP ${status}`;
  if (status === 404) return new StoreError("FILE_GONE", `the bucket has no such file (${code})`);
  if (status === 507 || FULL.test(code)) {
    return new StoreError(
      "STORE_FULL",
      `the bucket is full (${code}): give it more space, or lower LOOM_RETENTION`,
    );
  }
  if (status >= 500 || status === 429 || status === 408) {
    return new StoreError("STORE_UNAVAILABLE", `the bucket does not answer now (${code})`);
  }
  return new StoreError(
    "STORE_REFUSED",
    `the bucket refuses the hub or the file (${code}): check LOOM_FILES_S3, its key, and the bucket's limit for one file`,
  );
}

const ignoreMissing = (error: unknown): void => {
  if (!(error instanceof StoreError) || error.code !== "FILE_GONE") throw error;
};

const ignoreStore = (error: unknown): void => {
  if (!(error instanceof StoreError)) throw error;
};
