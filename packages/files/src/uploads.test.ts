import { createHash, randomUUID } from "node:crypto";
import { limits } from "@loom/workflow";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { type FileStore, type ObjectWriter, StoreError } from "./store.ts";
import { createUploads } from "./uploads.ts";

const PART = limits.filePartBytes;
const fileOf = (size: number) => ({
  name: "a",
  size,
  sha256: createHash("sha256").update(`${size}`).digest("hex"),
});

/** Uploads to a store with so much room. */
function uploadsTo(
  free: number,
  writer: Partial<ObjectWriter> = {},
  dropUpload: (id: string) => Promise<boolean> = async () => true,
) {
  const store = {
    id: "test",
    free: async () => free,
    open: async () => ({
      ...{ write: async () => {}, finish: async () => {}, abort: async () => {} },
      ...writer,
    }),
  } as unknown as FileStore;
  const queue = { finishFile: async () => fileOf(1), dropUpload };
  const uploads = createUploads({
    store,
    queue: queue as never,
    log: pino({ level: "silent" }) as never,
  });
  onTestFinished(() => uploads.close());
  return uploads;
}

describe("uploads", () => {
  test("that begin at one moment are not promised the same room", async () => {
    const uploads = uploadsTo(10);
    const began = await Promise.allSettled(
      ["a", "b"].map((sender) => uploads.open(randomUUID(), fileOf(6), sender)),
    );
    expect(began.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
  });

  test.for<[string, Partial<ObjectWriter>]>([
    ["a part", { write: () => Promise.reject(new StoreError("FILE_GONE", "no such upload")) }],
    ["its end", { finish: () => Promise.reject(new StoreError("FILE_GONE", "no such upload")) }],
  ])("that the store has lost at %s is to be begun again", async ([, writer]) => {
    const dropped = Promise.withResolvers<string>();
    const uploads = uploadsTo(10, writer, async (id) => {
      dropped.resolve(id);
      return true;
    });
    const id = randomUUID();
    const content = Buffer.from("x");
    const sha256 = createHash("sha256").update(content).digest("hex");
    await uploads.open(id, { name: "a", size: 1, sha256 }, "one");
    const sending = async () => {
      await uploads.part(id, 0, "one", async () => content);
      await uploads.finish(id, "one");
    };
    await expect(sending()).rejects.toMatchObject({ code: "UPLOAD_NOT_FOUND" });
    expect(await dropped.promise).toBe(id);
  });

  test("of one sender that is slow leave room for those of others", async () => {
    const uploads = uploadsTo(1_000 * PART);
    const { promise: never, resolve } = Promise.withResolvers<Uint8Array>();
    const slow = Array.from({ length: 16 }, async () => {
      const id = randomUUID();
      await uploads.open(id, fileOf(1), "slow");
      await uploads.part(id, 0, "slow", () => never);
    });
    const id = randomUUID();
    await uploads.open(id, fileOf(1), "fast");
    await uploads.part(id, 0, "fast", async () => new Uint8Array(1));
    resolve(new Uint8Array(1));
    await Promise.all(slow);
  });
});
