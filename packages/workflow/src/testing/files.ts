import { createHash } from "node:crypto";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  type FileContent,
  isFileRef,
  problemOfFileName,
  type StepFiles,
} from "../files/step-files.ts";

/** Files of a workflow in a test: in a folder of their own, which goes when the workflow has ended. */
export function createTestFiles(): { files: StepFiles; close: () => Promise<void> } {
  let made: Promise<string> | undefined;
  let count = 0;
  const folder = () => {
    made ??= mkdtemp(path.join(tmpdir(), "loom-test-files-"));
    return made;
  };
  const files = {
    async put(name: string, content: FileContent) {
      const problem = problemOfFileName(name);
      if (problem !== undefined) throw failed("FILE_NAME_INVALID", `the file's name ${problem}`);
      const data = await read(content);
      const sha256 = createHash("sha256").update(data).digest("hex");
      await writeFile(path.join(await folder(), sha256), data);
      return { name, size: data.length, sha256 };
    },
    async get(ref: unknown, { to, as }: { to?: string; as?: "path" | "stream" } = {}) {
      if (!isFileRef(ref)) throw failed("FILE_NOT_FOUND", "this value is no file");
      const stored = path.join(await folder(), ref.sha256);
      const data = await readFile(stored).catch(() => {
        throw failed("FILE_NOT_FOUND", `no step of this test has stored ${ref.name}`);
      });
      if (as === "stream") return pieces(data);
      count += 1;
      const place = to ?? path.join(await folder(), `${count}-${ref.name}`);
      await copyFile(stored, place);
      return place;
    },
  };
  return {
    files: files as StepFiles,
    async close() {
      if (made) await rm(await made, { recursive: true, force: true });
    },
  };
}

async function* pieces(data: Uint8Array): AsyncGenerator<Uint8Array> {
  yield data;
}

async function read(content: FileContent): Promise<Buffer> {
  if (typeof content === "string") return await readFile(content);
  if (content instanceof Uint8Array) return Buffer.from(content);
  const chunks: Buffer[] = [];
  for await (const chunk of content) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

const failed = (code: string, message: string): Error =>
  Object.assign(new Error(message), { name: "FileError", code });
