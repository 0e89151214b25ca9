import { execFileSync } from "node:child_process";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer, type IncomingMessage, request } from "node:http";
import { type AddressInfo, connect, createServer as createTcp, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { getRequestListener } from "@hono/node-server";
import {
  createFileTransfer,
  createHubConnection,
  createUploads,
  nodeFileRoutes,
  openFolderStore,
  sendObject,
  sweepFiles,
} from "@loom/files";
import { databaseTest, makePlan, runningJob } from "@loom/queue/testing";
import { limits } from "@loom/workflow";
import { Hono } from "hono";
import { pino } from "pino";
import { describe, expect, onTestFinished, vi } from "vitest";

const log = pino({ level: "silent" });
const PART = limits.filePartBytes;
const { signal } = new AbortController();
const digestOf = (content: Buffer) => createHash("sha256").update(content).digest("hex");

function tempDir(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-transfer-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

const test = databaseTest.extend("hub", async ({ queue, database }, { onCleanup }) => {
  const folder = tempDir();
  const store = await openFolderStore(folder);
  const open = () => createUploads({ store, queue, log });
  let uploads = open();
  const files = {
    store,
    // A hub that is started again has new ones.
    get uploads() {
      return uploads;
    },
  };
  const app = nodeFileRoutes({
    files: files as never,
    databaseUrl: database.url,
    onlySafe: (_c, next) => next(),
    log,
  });
  const requests: string[] = [];
  const listener = getRequestListener((asked, env) => {
    requests.push(`${asked.method} ${new URL(asked.url).pathname.replace(/[0-9a-f-]{36}/, "ID")}`);
    return app.fetch(asked, env as never);
  });
  const server = createServer((asked, answer) => void listener(asked, answer));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onCleanup(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await uploads.close();
  });
  return {
    folder,
    store,
    requests,
    port: (server.address() as AddressInfo).port,
    restart: async () => {
      uploads = open();
    },
  };
});

/** A proxy that breaks the connection after so many bytes of a request, a number of times. */
async function startFlaky(port: number, { after, times }: { after: number; times: number }) {
  let left = times;
  const server = createTcp((client: Socket) => {
    const upstream = connect(port, "127.0.0.1");
    let passed = 0;
    const end = () => {
      client.destroy();
      upstream.destroy();
    };
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on("data", (chunk: Buffer) => {
        passed += chunk.length;
        if (left > 0 && passed > after) {
          left -= 1;
          end();
        } else to.write(chunk);
      });
      from.on("error", end).on("close", end);
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { port: (server.address() as AddressInfo).port, broken: () => times - left };
}

const transferTo = (port: number, key: string, node = "forge") =>
  createFileTransfer(
    createHubConnection({
      hubUrl: `http://127.0.0.1:${port}`,
      node,
      credentials: () => ({ key, nodeKey: undefined }),
    }),
    { log },
  );

function writeFile(content: Buffer): string {
  const file = path.join(tempDir(), "source");
  writeFileSync(file, content);
  return file;
}

describe("a file", () => {
  test("goes to the hub and comes back as it was, in parts", async ({ hub, queue, database }) => {
    const { job, runId } = await runningJob(queue);
    const transfer = transferTo(hub.port, database.serviceKey);
    const content = randomBytes(2 * PART + 5);
    const ref = await transfer.put(job, { name: "a.bin", path: writeFile(content) }, { signal });
    expect(ref).toEqual({ name: "a.bin", size: content.length, sha256: digestOf(content) });
    expect(hub.requests.filter((line) => line.startsWith("PUT"))).toHaveLength(3);
    const to = path.join(tempDir(), "deep", "copy");
    await transfer.get(job, ref, to, { signal });
    expect(readFileSync(to).equals(content)).toBe(true);
    expect(await queue.listFiles(runId)).toMatchObject([ref]);
    // The same content again is not sent.
    await transfer.put(job, { name: "b.bin", path: writeFile(content) }, { signal });
    expect(hub.requests.filter((line) => line.startsWith("PUT"))).toHaveLength(3);
    const empty = await transfer.put(
      job,
      { name: "e", path: writeFile(Buffer.alloc(0)) },
      { signal },
    );
    await transfer.get(job, empty, path.join(path.dirname(to), "empty"), { signal });
    // Nothing is overwritten.
    await expect(transfer.get(job, ref, to, { signal })).resolves.toBeUndefined();
  });

  test("goes on where a connection broke, in both directions", async ({ hub, queue, database }) => {
    const { job } = await runningJob(queue);
    const flaky = await startFlaky(hub.port, { after: PART / 2, times: 4 });
    const transfer = transferTo(flaky.port, database.serviceKey);
    const content = randomBytes(3 * PART);
    const ref = await transfer.put(job, { name: "a", path: writeFile(content) }, { signal });
    expect(flaky.broken()).toBe(4);
    const back = await startFlaky(hub.port, { after: PART, times: 3 });
    const to = path.join(tempDir(), "copy");
    await transferTo(back.port, database.serviceKey).get(job, ref, to, { signal });
    expect(back.broken()).toBe(3);
    expect(readFileSync(to).equals(content)).toBe(true);
  });

  test("is begun anew by a hub that was started again", async ({ hub, queue, database }) => {
    const { job, runId } = await runningJob(queue);
    const connection = createHubConnection({
      hubUrl: `http://127.0.0.1:${hub.port}`,
      node: "forge",
      credentials: () => ({ key: database.serviceKey, nodeKey: undefined }),
    });
    let restarts = 0;
    const transfer = createFileTransfer(
      {
        ...connection,
        async part(id, at, content, options) {
          if (at === 2 && restarts === 0) {
            restarts += 1;
            await hub.restart();
          }
          await connection.part(id, at, content, options);
        },
      },
      { log },
    );
    const content = randomBytes(3 * PART);
    const ref = await transfer.put(job, { name: "a", path: writeFile(content) }, { signal });
    expect(restarts).toBe(1);
    expect(await queue.listFiles(runId)).toMatchObject([ref]);
  });

  test("goes on, or begins anew, when the node has changed its key", async ({
    hub,
    queue,
    database,
  }) => {
    const { job, runId } = await runningJob(queue);
    let nodeKey = `loomn_${"a".repeat(43)}`;
    const connection = createHubConnection({
      hubUrl: `http://127.0.0.1:${hub.port}`,
      node: "forge",
      credentials: () => ({ key: database.serviceKey, nodeKey }),
    });
    const transfer = createFileTransfer(
      {
        ...connection,
        async part(id, at, content, options) {
          if (at === 1) nodeKey = `loomn_${"b".repeat(43)}`;
          await connection.part(id, at, content, options);
        },
      },
      { log },
    );
    const file = writeFile(randomBytes(3 * PART));
    const ref = await transfer.put(job, { name: "a", path: file }, { signal });
    expect(await queue.listFiles(runId)).toMatchObject([ref]);
    expect(hub.requests.filter((line) => line === "PUT /files/ID/0")).toHaveLength(1);
  });

  test("follows any number of others that are finished", async ({ hub, queue, database }) => {
    const { job, runId } = await runningJob(queue);
    const transfer = transferTo(hub.port, database.serviceKey);
    for (let at = 0; at < 40; at += 1) {
      const file = writeFile(Buffer.from(`file ${at}`));
      await transfer.put(job, { name: `${at}`, path: file }, { signal });
    }
    expect(await queue.listFiles(runId)).toHaveLength(40);
  });

  test("is no pipe, which nobody may ever write to", async ({ hub, queue, database }) => {
    const { job } = await runningJob(queue);
    const pipe = path.join(tempDir(), "pipe");
    execFileSync("mkfifo", [pipe]);
    await expect(
      transferTo(hub.port, database.serviceKey).put(job, { name: "a", path: pipe }, { signal }),
    ).rejects.toMatchObject({ code: "FILE_UNREADABLE" });
  });

  test("that changes while it is sent is refused, and leaves nothing", async ({
    hub,
    queue,
    database,
  }) => {
    const { job, runId } = await runningJob(queue);
    const connection = createHubConnection({
      hubUrl: `http://127.0.0.1:${hub.port}`,
      node: "forge",
      credentials: () => ({ key: database.serviceKey, nodeKey: undefined }),
    });
    const content = randomBytes(2 * PART);
    const file = writeFile(content);
    const transfer = createFileTransfer(
      {
        ...connection,
        async part(id, at, part, options) {
          if (at === 0) writeFileSync(file, randomBytes(2 * PART));
          await connection.part(id, at, part, options);
        },
      },
      { log },
    );
    await expect(transfer.put(job, { name: "a", path: file }, { signal })).rejects.toMatchObject({
      code: "FILE_CHANGED",
    });
    expect(await queue.listFiles(runId)).toEqual([]);
    await expect.poll(() => readdirSync(path.join(hub.folder, "uploads"))).toEqual([]);
  });

  test("that the store damaged never reaches a step", async ({ hub, queue, database }) => {
    const { job, runId } = await runningJob(queue);
    const transfer = transferTo(hub.port, database.serviceKey);
    const ref = await transfer.put(
      job,
      { name: "a", path: writeFile(randomBytes(10)) },
      { signal },
    );
    const { id = "" } = (await queue.findRunFile(runId, ref.sha256)) ?? {};
    writeFileSync(path.join(hub.folder, "objects", id.slice(0, 2), id), randomBytes(10));
    const to = path.join(tempDir(), "copy");
    await expect(transfer.get(job, ref, to, { signal })).rejects.toMatchObject({
      code: "FILE_DIGEST_MISMATCH",
    });
    expect(readdirSync(path.dirname(to))).toEqual([]);
  });

  test("of another run, of a run that is over, or of none is refused", async ({
    hub,
    queue,
    database,
  }) => {
    const { job } = await runningJob(queue);
    const transfer = transferTo(hub.port, database.serviceKey);
    const file = writeFile(randomBytes(10));
    const ref = await transfer.put(job, { name: "a", path: file }, { signal });
    const to = path.join(tempDir(), "copy");
    await expect(
      transfer.get(job, { ...ref, sha256: digestOf(randomBytes(3)) }, to, { signal }),
    ).rejects.toMatchObject({ code: "FILE_NOT_FOUND" });
    await expect(
      transferTo(hub.port, database.serviceKey, "oracle").get(job, ref, to, { signal }),
    ).rejects.toMatchObject({ code: "JOB_NOT_HELD" });
    await expect(
      transfer.put(job, { name: "../../x", path: file }, { signal }),
    ).rejects.toMatchObject({ code: "FILE_NAME_INVALID" });
    const late = { id: job.id, fence: job.fence + 1 };
    await expect(transfer.put(late, { name: "a", path: file }, { signal })).rejects.toMatchObject({
      code: "JOB_NOT_HELD",
    });
    await queue.settle("forge", [
      { id: job.id, fence: job.fence, outcome: "succeeded", result: null },
    ]);
    await expect(transfer.put(job, { name: "b", path: file }, { signal })).rejects.toMatchObject({
      code: "JOB_NOT_HELD",
    });
    await expect(
      transfer.put(job, { name: "b", path: tempDir() }, { signal }),
    ).rejects.toMatchObject({
      code: "FILE_UNREADABLE",
    });
    expect(existsSync(to)).toBe(false);
  });

  test("is read of no link that stands where it is to be put", async ({ hub, queue, database }) => {
    const { job } = await runningJob(queue);
    const transfer = transferTo(hub.port, database.serviceKey);
    const ref = await transfer.put(job, { name: "a", path: writeFile(randomBytes(9)) }, { signal });
    const folder = tempDir();
    const victim = path.join(folder, "victim");
    writeFileSync(victim, "keep");
    const to = path.join(folder, "copy");
    symlinkSync(victim, to);
    symlinkSync(victim, `${to}.loom-part`);
    await expect(transfer.get(job, ref, to, { signal })).rejects.toMatchObject({ code: "EEXIST" });
    expect(readFileSync(victim, "utf8")).toBe("keep");
  });

  test("has as long a name as a name may be, here and there", async ({ hub, queue, database }) => {
    const { job } = await runningJob(queue);
    const transfer = transferTo(hub.port, database.serviceKey);
    const file = writeFile(randomBytes(9));
    for (const name of ["n".repeat(255), "ä".repeat(127)]) {
      const ref = await transfer.put(job, { name, path: file }, { signal });
      const to = path.join(tempDir(), name);
      await transfer.get(job, ref, to, { signal });
      expect(readFileSync(to).equals(readFileSync(file))).toBe(true);
      expect(readdirSync(path.dirname(to))).toEqual([name]);
    }
  });

  test("goes with its run", async ({ hub, queue, database }) => {
    const { job } = await runningJob(queue);
    const transfer = transferTo(hub.port, database.serviceKey);
    const ref = await transfer.put(job, { name: "a", path: writeFile(randomBytes(9)) }, { signal });
    await queue.settle("forge", [
      { id: job.id, fence: job.fence, outcome: "succeeded", result: ref },
    ]);
    const sweep = () => sweepFiles({ store: hub.store, queue, log });
    expect(await sweep()).toBe(0);
    await queue.prune({ keepDays: 0 });
    await database.sql`update public.loom_files set used_at = used_at - interval '2 days'`;
    expect(await sweep()).toBe(1);
    expect(await sweep()).toBe(0);
    expect(readdirSync(path.join(hub.folder, "objects"), { recursive: true })).toHaveLength(1);
    expect(await queue.verify()).toEqual([]);
  });
});

/** A request past the transfer, as somebody makes who has a key and no manners. */
const ask = (
  port: number,
  {
    method = "GET",
    to,
    headers = {},
    body,
  }: { method?: string; to: string; headers?: Record<string, string>; body?: Buffer },
): Promise<{ status: number; code: unknown }> =>
  new Promise((resolve, reject) => {
    const sent = request(
      { port, host: "127.0.0.1", method, path: to, headers },
      (answer: IncomingMessage) => {
        let text = "";
        answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
        answer.on("end", () =>
          resolve({
            status: answer.statusCode ?? 0,
            code: text.startsWith("{") ? JSON.parse(text).code : text,
          }),
        );
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });

describe("the hub's requests for files", () => {
  test("read nothing of a stranger, who does not say how much comes", async ({ hub, database }) => {
    const sent = request({
      ...{ port: hub.port, host: "127.0.0.1", method: "PUT", path: "/files/x/0" },
      headers: { apikey: database.anonKey, "transfer-encoding": "chunked" },
    });
    onTestFinished(() => void sent.destroy());
    sent.on("error", () => {});
    // It never ends.
    sent.write(Buffer.alloc(1_000));
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    expect(answer.statusCode).toBe(404);
  });

  test("stop reading a part of unknown length when it is too long", async ({
    hub,
    queue,
    database,
  }) => {
    const { job } = await runningJob(queue);
    const content = randomBytes(PART + 1);
    const facts = { name: "a", size: content.length, sha256: digestOf(content) };
    const body = Buffer.from(
      JSON.stringify({ node: "forge", job: job.id, fence: job.fence, ...facts }),
    );
    const headers = { apikey: database.serviceKey };
    const more = { ...headers, "content-type": "application/json" };
    const begun = await fetch(`http://127.0.0.1:${hub.port}/files`, {
      ...{ method: "POST", headers: more, body },
    });
    const { id } = (await begun.json()) as { id: string };
    const put = (part: Buffer) =>
      ask(hub.port, {
        ...{ method: "PUT", to: `/files/${id}/0`, body: part },
        headers: { ...headers, "transfer-encoding": "chunked" },
      });
    expect(await put(content)).toMatchObject({ status: 413 });
    expect(await put(content.subarray(0, PART))).toMatchObject({ status: 200 });
  });

  test("count what a node reads until it has read it", async ({ hub, queue, database }) => {
    const { job } = await runningJob(queue);
    const content = randomBytes(3 * PART);
    const ref = await transferTo(hub.port, database.serviceKey).put(
      job,
      { name: "a", path: writeFile(content) },
      { signal },
    );
    const query = `node=forge&job=${job.id}&fence=${job.fence}`;
    const to = `/files/${ref.sha256}?${query}`;
    const headers = { apikey: database.serviceKey };
    const open = async (): Promise<IncomingMessage> => {
      const sent = request({ port: hub.port, host: "127.0.0.1", path: to, headers });
      sent.on("error", () => {}).end();
      const [answer] = (await once(sent, "response")) as [IncomingMessage];
      onTestFinished(() => void answer.destroy());
      return answer;
    };
    const reading = await Promise.all(Array.from({ length: 16 }, open));
    expect(reading.map(({ statusCode }) => statusCode)).toEqual(Array(16).fill(200));
    expect((await open()).statusCode).toBe(429);
    for (const answer of reading) answer.on("error", () => {}).destroy();
    await expect.poll(async () => (await open()).statusCode).toBe(200);
  });

  test("open nothing to say only how long a file is", async ({ hub, queue, database }) => {
    const { job } = await runningJob(queue);
    const file = writeFile(randomBytes(PART));
    const ref = await transferTo(hub.port, database.serviceKey).put(
      job,
      { name: "a", path: file },
      { signal },
    );
    const query = `node=forge&job=${job.id}&fence=${job.fence}`;
    const headers = { apikey: database.serviceKey };
    const read = vi.spyOn(hub.store, "read");
    const to = `/files/${ref.sha256}?${query}`;
    expect(await ask(hub.port, { method: "HEAD", to, headers })).toMatchObject({ status: 200 });
    expect(read).not.toHaveBeenCalled();
  });

  test("take no part of somebody else's upload, and none that is too long", async ({
    hub,
    queue,
    database,
  }) => {
    const { job } = await runningJob(queue);
    const headers = { apikey: database.serviceKey };
    const connection = createHubConnection({
      hubUrl: `http://127.0.0.1:${hub.port}`,
      node: "forge",
      credentials: () => ({ key: database.serviceKey, nodeKey: undefined }),
    });
    const content = randomBytes(PART + 1);
    const file = { name: "a", size: content.length, sha256: digestOf(content) };
    const upload = await connection.begin(job, file);
    const to = `/files/${upload?.id}`;
    const put = (part: string, body: Buffer, more: Record<string, string> = headers) =>
      ask(hub.port, { method: "PUT", to: `${to}/${part}`, headers: more, body });
    expect(await put("0", content.subarray(0, PART), { apikey: database.anonKey })).toMatchObject({
      status: 404,
      code: "UPLOAD_NOT_FOUND",
    });
    expect(await put("0", content)).toMatchObject({ status: 413 });
    expect(await put("0", Buffer.alloc(3))).toMatchObject({ status: 400, code: "PART_INVALID" });
    expect(await put("1", Buffer.alloc(1))).toMatchObject({
      status: 409,
      code: "PART_OUT_OF_ORDER",
    });
    expect(await put("-1", Buffer.alloc(1))).toMatchObject({ status: 409 });
    expect(await put("x", Buffer.alloc(1))).toMatchObject({ status: 409 });
    expect(await ask(hub.port, { method: "POST", to: `${to}/finish`, headers })).toMatchObject({
      code: "PART_OUT_OF_ORDER",
    });
    expect(await put("0", content.subarray(0, PART))).toMatchObject({ status: 200 });
    expect(await put("0", content.subarray(0, PART))).toMatchObject({ status: 200 });
    expect(await put("1", Buffer.from([~(content.at(-1) ?? 0) & 255]))).toMatchObject({
      status: 200,
    });
    expect(await ask(hub.port, { method: "POST", to: `${to}/finish`, headers })).toMatchObject({
      status: 422,
      code: "FILE_DIGEST_MISMATCH",
    });
  });

  test("are refused without a key, and lead out of no folder", async ({ hub, queue, database }) => {
    await queue.startRun(makePlan([{ step: "only" }]));
    const headers = { apikey: database.serviceKey };
    expect(await ask(hub.port, { to: "/files/x" })).toMatchObject({ status: 401 });
    expect(
      await ask(hub.port, { to: "/files/x", headers: { apikey: database.anonKey } }),
    ).toMatchObject({ status: 422 });
    for (const name of ["..%2f..%2fstore-id", "%2e%2e", "store-id", "a".repeat(64)]) {
      const query = "node=forge&job=1&fence=1";
      const answer = await ask(hub.port, { to: `/files/${name}?${query}`, headers });
      expect(answer.status).toBeGreaterThanOrEqual(404);
    }
    const wrong = {
      ...headers,
      "x-loom-node-key": `loomn_${"x".repeat(43)}`,
      apikey: database.anonKey,
    };
    expect(
      await ask(hub.port, {
        to: `/files/${"a".repeat(64)}?node=forge&job=1&fence=1`,
        headers: wrong,
      }),
    ).toMatchObject({ status: 403 });
    expect(
      await ask(hub.port, {
        method: "POST",
        to: "/files",
        headers: { ...headers, "content-type": "application/json" },
        body: Buffer.from("x".repeat(5_000)),
      }),
    ).toMatchObject({ status: 413 });
  });
});

databaseTest(
  "a download of which nobody reads anything ends, and one that is read slowly goes on",
  async () => {
    const store = await openFolderStore(tempDir());
    // Far more than the buffers of both ends hold.
    const size = 8 * PART;
    const id = randomUUID();
    const writer = await store.open(id, size);
    for (let at = 0; at < 8; at += 1) await writer.write(Buffer.alloc(PART));
    await writer.finish();
    const contents: Readable[] = [];
    const app = new Hono().get("/", (c) =>
      sendObject(
        c,
        { id, store: store.id, size },
        {
          store,
          stalledMs: 500,
          onContent: (content) => contents.push(content),
        },
      ),
    );
    const listener = getRequestListener(app.fetch);
    const server = createServer((asked, answer) => void listener(asked, answer));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const get = () =>
      new Promise<IncomingMessage>((resolve) => {
        request({ host: "127.0.0.1", port }, resolve).end();
      });

    const slow = await get();
    let received = 0;
    // Each piece comes before half a second has passed.
    for await (const chunk of slow as AsyncIterable<Buffer>) {
      received += chunk.length;
      if (received % PART < chunk.length) await sleep(100);
    }
    expect(received).toBe(size);

    const stalled = await get();
    stalled.pause();
    await expect.poll(() => contents[1]?.closed, { timeout: 20_000 }).toBe(true);
    stalled.on("error", () => {});
    stalled.destroy();
  },
);
