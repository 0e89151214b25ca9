import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { collectOutput } from "./own-folder.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "loom-own-folder-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("why the output of a failed command is not sent tells no secret of the machine", async () => {
  const cwd = path.join(folder, "command");
  mkdirSync(cwd);
  symlinkSync("/srv/hunter2/x", path.join(cwd, "made"));
  symlinkSync(`/${"far/".repeat(900)}`, path.join(cwd, "long"));
  const collect = (name: string) =>
    collectOutput(
      { name: "out.tar.gz", paths: [name] },
      { outcome: "failed", error: { message: "it ended with 1", exitCode: 1 } },
      {
        cwd,
        filesFolder: folder,
        askForFile: () => Promise.reject(new Error("nothing is asked for")),
        signal: new AbortController().signal,
        scrub: (text) => text.replaceAll("hunter2", "***"),
      },
    );
  expect(await collect("made")).toMatchObject({
    error: { exitCode: 1, out: null, unsent: expect.stringContaining("/srv/***/x") },
  });
  const { error } = (await collect("long")) as unknown as { error: { unsent: string } };
  expect(error.unsent.length).toBeLessThanOrEqual(2_000);
});
