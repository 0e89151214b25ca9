import { randomBytes, randomUUID } from "node:crypto";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { buffer } from "node:stream/consumers";
import { type FileStore, openFolderStore, openS3Store } from "@loom/files";
import { limits } from "@loom/workflow";
import S3rver from "s3rver";
import { describe, expect, onTestFinished, test, vi } from "vitest";

function tempDir(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-store-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A server that speaks S3, with one bucket. It knows neither a wrong secret nor the end of a multi-part upload that is given up. */
async function startS3(): Promise<string> {
  const server = new S3rver({
    port: 0,
    address: "127.0.0.1",
    silent: true,
    directory: tempDir(),
    configureBuckets: [{ name: "loom-files", configs: [] }],
  });
  const { port } = (await server.run()) as AddressInfo;
  onTestFinished(() => server.close());
  return `http://127.0.0.1:${port}/loom-files`;
}

const S3_KEY = { region: "us-east-1", keyId: "S3RVER", secret: "S3RVER" };

const STORES: Record<string, () => Promise<FileStore>> = {
  "a folder": () => openFolderStore(tempDir()),
  "a bucket": async () => openS3Store({ url: await startS3(), ...S3_KEY }),
};

const signal = new AbortController().signal;
const read = async (store: FileStore, id: string, from = 0) =>
  await buffer(await store.read(id, { from, signal }));

async function write(store: FileStore, content: Buffer): Promise<string> {
  const id = randomUUID();
  const writer = await store.open(id, content.length);
  for (let at = 0; at < content.length; at += limits.filePartBytes) {
    await writer.write(content.subarray(at, at + limits.filePartBytes));
  }
  await writer.finish();
  // Its answer may be lost.
  await writer.finish();
  return id;
}

describe.for(Object.entries(STORES))("%s", ([, open]) => {
  test.for([0, 1, limits.filePartBytes, 2 * limits.filePartBytes + 7])(
    "keeps %i bytes as they are, and reads them from any byte on",
    async (size) => {
      const store = await open();
      const content = randomBytes(size);
      const id = await write(store, content);
      expect((await read(store, id)).equals(content)).toBe(true);
      const from = Math.floor(size / 2);
      if (from > 0) expect((await read(store, id, from)).equals(content.subarray(from))).toBe(true);
    },
  );

  test("has no object before it is finished, and none after it is given up or removed", async () => {
    const store = await open();
    const gone = { code: "FILE_GONE" };
    const id = randomUUID();
    const size = 2 * limits.filePartBytes;
    const writer = await store.open(id, size);
    await writer.write(randomBytes(limits.filePartBytes));
    await expect(read(store, id)).rejects.toMatchObject(gone);
    await writer.abort();
    await expect(read(store, id)).rejects.toMatchObject(gone);
    const stored = await write(store, randomBytes(10));
    await store.remove(stored);
    await store.remove(stored);
    await expect(read(store, stored)).rejects.toMatchObject(gone);
    // An upload that a hub left behind.
    const left = randomUUID();
    const abandoned = await store.open(left, size);
    await abandoned.write(randomBytes(limits.filePartBytes));
    await store.remove(left);
    await abandoned.abort();
  });

  test("takes nothing but a UUID as the name of an object", async () => {
    const store = await open();
    for (const id of ["../../x", "/etc/passwd", "a", `${randomUUID()}/..`, ""]) {
      await expect(store.open(id, 1)).rejects.toThrow(TypeError);
      await expect(read(store, id)).rejects.toThrow(TypeError);
      await expect(store.remove(id)).rejects.toThrow(TypeError);
    }
  });
});

describe("a folder", () => {
  test("keeps its id, and forgets what an earlier hub did not finish", async () => {
    const folder = tempDir();
    const store = await openFolderStore(folder);
    const writer = await store.open(randomUUID(), 10);
    await writer.write(randomBytes(5));
    expect(readdirSync(path.join(folder, "uploads"))).toHaveLength(1);
    const again = await openFolderStore(folder);
    expect(again.id).toBe(store.id);
    expect(readdirSync(path.join(folder, "uploads"))).toEqual([]);
    expect((await openFolderStore(tempDir())).id).not.toBe(store.id);
    await writer.abort();
  });

  /** Lets the next file be written, and then fails to write the folder with this code. */
  async function failToSync(folder: string, code: string) {
    const handle = await open(folder);
    const sync = vi.spyOn(Object.getPrototypeOf(handle), "sync");
    await handle.close();
    sync.mockResolvedValueOnce(undefined);
    sync.mockRejectedValueOnce(Object.assign(new Error("no"), { code }));
    return sync;
  }

  test("finishes an object whose name was there before the folder was written", async () => {
    const folder = tempDir();
    const store = await openFolderStore(folder);
    const id = randomUUID();
    const writer = await store.open(id, 3);
    await writer.write(Buffer.from("abc"));
    const sync = await failToSync(folder, "EIO");
    await expect(writer.finish()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
    sync.mockRestore();
    await writer.finish();
    expect(String(await read(store, id))).toBe("abc");
  });

  test("removes an object that has its name and is given up", async () => {
    const folder = tempDir();
    const store = await openFolderStore(folder);
    const id = randomUUID();
    const writer = await store.open(id, 3);
    const sync = await failToSync(folder, "EDQUOT");
    await expect(writer.finish()).rejects.toMatchObject({ code: "STORE_FULL" });
    sync.mockRestore();
    await writer.abort();
    await expect(read(store, id)).rejects.toMatchObject({ code: "FILE_GONE" });
  });

  test("leaves room on the disk for others", async () => {
    const store = await openFolderStore(tempDir(), { reserveBytes: Number.MAX_SAFE_INTEGER });
    expect(await store.free()).toBe(0);
  });
});

describe("a bucket", () => {
  test("refuses a wrong key and a missing bucket, and says what to look at", async () => {
    const url = await startS3();
    const wrong = openS3Store({ url, ...S3_KEY, keyId: "wrong" });
    await expect(write(wrong, randomBytes(1))).rejects.toMatchObject({
      code: "STORE_REFUSED",
      message: expect.stringContaining("LOOM_FILES_S3"),
    });
    const missing = openS3Store({ url: `${url}-other`, ...S3_KEY });
    await expect(write(missing, randomBytes(1))).rejects.toMatchObject({ code: "FILE_GONE" });
  });

  /** A proxy that passes each request on, and loses the first answers of those that complete an upload. */
  async function loseAnswers(url: string, { isPassedOn }: { isPassedOn: boolean }) {
    const { port, pathname } = new URL(url);
    let lost = 0;
    async function pass(asked: IncomingMessage, answer: ServerResponse) {
      const body = await buffer(asked);
      const completes = asked.method === "POST" && asked.url?.includes("uploadId=");
      const isLost = completes && lost === 0;
      if (isLost) lost += 1;
      if (isLost && !isPassedOn) {
        answer.destroy();
        return;
      }
      const { method, headers, url: path } = asked;
      const sent = request({ host: "127.0.0.1", port, method, headers, path }, (answered) => {
        if (isLost) {
          answered.resume();
          answered.once("end", () => answer.destroy());
          return;
        }
        answer.writeHead(answered.statusCode ?? 500, answered.headers);
        answered.pipe(answer);
      });
      sent.end(body);
    }
    const server = createServer((asked, answer) => void pass(asked, answer));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void server.close());
    const at = (server.address() as AddressInfo).port;
    return { url: `http://127.0.0.1:${at}${pathname}`, lost: () => lost };
  }

  test.for([true, false])(
    "has the object though the answer was lost, when it joined the parts: %s",
    async (isPassedOn) => {
      const proxy = await loseAnswers(await startS3(), { isPassedOn });
      const store = openS3Store({ url: proxy.url, ...S3_KEY });
      const content = randomBytes(limits.filePartBytes + 5);
      const id = randomUUID();
      const writer = await store.open(id, content.length);
      await writer.write(content.subarray(0, limits.filePartBytes));
      await writer.write(content.subarray(limits.filePartBytes));
      await expect(writer.finish()).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });
      await writer.finish();
      expect(proxy.lost()).toBe(1);
      expect((await read(store, id)).equals(content)).toBe(true);
    },
  );
});
