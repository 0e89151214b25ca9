import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { type BeginUploadRequest, HubError } from "@loom/client";
import { limits } from "@loom/workflow";
import { expect, onTestFinished, test } from "vitest";
import { upload } from "./carry-file.ts";

const PART = 1_000;

function write(content: Buffer): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-carry-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, "file");
  writeFileSync(file, content);
  return file;
}

const lost = () =>
  new HubError(new Response(null, { status: 404 }), {
    code: "UPLOAD_NOT_FOUND",
    detail: "lost",
  } as never);

/** A hub that loses an upload before its second part, so often. */
function hubThatLoses(times: number) {
  let uploads = 0;
  let asked: BeginUploadRequest | undefined;
  let parts: Buffer[] = [];
  return {
    uploads: () => uploads,
    async beginUpload(file: BeginUploadRequest) {
      uploads += 1;
      asked = file;
      parts = [];
      return { id: String(uploads), next: 0, partBytes: PART };
    },
    async sendPart(id: string, part: number, content: Uint8Array) {
      if (id !== String(uploads) || part !== parts.length) throw new Error("out of order");
      if (part === 1 && uploads <= times) throw lost();
      parts.push(Buffer.from(content));
    },
    async finishUpload() {
      const sha256 = createHash("sha256").update(Buffer.concat(parts)).digest("hex");
      if (sha256 !== asked?.sha256) throw new Error("another content");
      return asked;
    },
  };
}

test.each([0, 1, PART, 2 * PART + 7])("a file of %i bytes is sent in parts", async (size) => {
  const content = randomBytes(size);
  const file = write(content);
  const sha256 = createHash("sha256").update(content).digest("hex");
  expect(await upload(hubThatLoses(0), { file, name: "a" })).toEqual({ name: "a", size, sha256 });
});

test("an upload that the hub loses is begun again, four times in all", async () => {
  const file = write(randomBytes(3 * PART));
  const restarted = hubThatLoses(3);
  await upload(restarted, { file, name: "a" });
  expect(restarted.uploads()).toBe(4);
  const broken = hubThatLoses(9);
  await expect(upload(broken, { file, name: "a" })).rejects.toMatchObject({
    code: "UPLOAD_NOT_FOUND",
  });
  expect(broken.uploads()).toBe(4);
});

test("a file that no run may have is not read", async () => {
  const file = write(Buffer.alloc(0));
  truncateSync(file, limits.fileBytes + 1);
  const hub = hubThatLoses(0);
  await expect(upload(hub, { file, name: "a" })).rejects.toMatchObject({ code: "FILE_TOO_LARGE" });
  expect(hub.uploads()).toBe(0);
});
