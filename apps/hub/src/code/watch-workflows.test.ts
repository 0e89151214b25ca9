import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { FilePlanner } from "@loom/worker";
import { pino } from "pino";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { watchFolder } from "./watch-workflows.ts";

const log = pino({ level: "silent" });

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "loom-watch-"));
  return () => rm(root, { recursive: true });
});

/** Writes a file as if it had been there for a while. */
async function writeOld(name: string): Promise<string> {
  const file = path.join(root, name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, "old");
  await utimes(file, 1_000, 1_000);
  return file;
}

/** Watches the folder for a planner that keeps what it was asked to load again. */
function watch({
  inputs,
  loaded = Promise.resolve(),
  onReload = async () => {},
}: {
  inputs: Set<string>;
  loaded?: Promise<void>;
  onReload?: () => Promise<void>;
}) {
  const reloads: string[][] = [];
  const planner = {
    inputs,
    loaded,
    async reload({ changed }: { changed: ReadonlySet<string> }) {
      reloads.push([...changed]);
      await onReload();
    },
  };
  const stopping = new AbortController();
  const { signal } = stopping;
  const watching = watchFolder(root, {
    planner: planner as unknown as FilePlanner,
    log,
    signal,
  });
  onTestFinished(async () => {
    stopping.abort();
    await watching;
  });
  return reloads;
}

test("a file that is saved after it was read and before it is watched is loaded again", async () => {
  const file = await writeOld("mine.ts");
  const other = await writeOld("other.ts");
  const loaded = Promise.withResolvers<void>();
  const reloads = watch({ inputs: new Set([file, other]), loaded: loaded.promise });
  await writeFile(file, "new");
  loaded.resolve();
  await expect.poll(() => reloads[0]).toEqual([file]);
});

test("a file that a saved one begins to import, and that is saved meanwhile, is loaded again", async () => {
  const file = await writeOld("mine.ts");
  const helper = await writeOld("lib/deep/helper.ts");
  const inputs = new Set([file]);
  const reloads = watch({
    inputs,
    async onReload() {
      if (inputs.has(helper)) return;
      inputs.add(helper);
      await writeFile(helper, "new");
    },
  });
  await writeFile(file, "new");
  await expect.poll(() => reloads.at(-1)).toEqual([helper]);
});

test("what is not saved is not loaded again", async () => {
  const file = await writeOld("mine.ts");
  const reloads = watch({ inputs: new Set([file]) });
  await writeFile(file, "new");
  await expect.poll(() => reloads[0]).toEqual([file]);
  const second = await writeOld("second.ts");
  await expect.poll(() => reloads.at(-1)).toEqual([second]);
  // A slow write may have been seen twice.
  expect(new Set(reloads.flat())).toEqual(new Set([file, second]));
});
