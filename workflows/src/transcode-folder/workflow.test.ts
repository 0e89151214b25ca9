import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { place, planRun, workflowCapability } from "@loom/scheduler";
import type { Exec } from "@loom/workflow";
import { runWorkflow } from "@loom/workflow/testing";
import { describe, expect, onTestFinished, test } from "vitest";
import { transcodeFolder } from "./workflow.ts";

/** A folder with three films, one of which is in a folder of its own, and something else. */
async function films() {
  const root = await mkdtemp(path.join(tmpdir(), "loom-films-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const folder = path.join(root, "films");
  await mkdir(path.join(folder, "old"), { recursive: true });
  for (const [name, bytes] of [
    ["a.mkv", 300],
    ["b.AVI", 200],
    ["old/c.mov", 100],
    ["notes.txt", 10],
  ] as const) {
    await writeFile(path.join(folder, name), "x".repeat(bytes));
  }
  return { folder, into: path.join(folder, "out") };
}

/** Stands in for ffmpeg: copies the film, unless its name is in the way. */
const ffmpeg =
  (calls: string[][] = []): Exec =>
  async (argv) => {
    calls.push([...argv]);
    const source = argv[argv.indexOf("-i") + 1] ?? "";
    if (source.includes("broken")) throw new Error("ffmpeg: invalid data");
    await copyFile(source, argv.at(-1) ?? "");
    return { stdout: "", stderr: "", truncated: false };
  };

const begin = {
  by: "ada",
  note: null,
  at: "2026-01-01T00:00:00.000Z",
  input: { quality: 20, preset: "slow" },
} as const;

describe("transcode-folder", () => {
  test("transcodes what is there as the person said, the largest first", async () => {
    const input = await films();
    const calls: string[][] = [];
    const { results } = await runWorkflow(transcodeFolder, {
      input,
      exec: ffmpeg(calls),
      results: { begin },
    });
    expect(results.list.files.map(({ path: name }) => name)).toEqual([
      "a.mkv",
      "b.AVI",
      path.join("old", "c.mov"),
    ]);
    expect(results.report).toEqual({ films: 3, failed: [], savedBytes: 0 });
    expect(calls[0]).toEqual(expect.arrayContaining(["-crf", "20", "-preset", "slow"]));
    const made = await readdir(input.into, { recursive: true });
    expect(made.filter((name) => name.endsWith(".mp4")).sort()).toEqual([
      "a.mp4",
      "b.mp4",
      path.join("old", "c.mp4"),
    ]);
  });

  test("leaves alone what was transcoded before, and asks nobody when that is all", async () => {
    const input = await films();
    const options = { input, exec: ffmpeg() };
    await runWorkflow(transcodeFolder, { ...options, results: { begin } });
    const { results } = await runWorkflow(transcodeFolder, options);
    expect(results.list.files).toEqual([]);
    expect(results).not.toHaveProperty("report");
  });

  test("tolerates one film in ten that cannot be transcoded, and leaves no part of it", async () => {
    const input = await films();
    for (let film = 0; film < 7; film += 1) {
      await writeFile(path.join(input.folder, `${film}.mkv`), "film");
    }
    await writeFile(path.join(input.folder, "broken.mkv"), "film");
    const { results, log } = await runWorkflow(transcodeFolder, {
      input,
      exec: ffmpeg(),
      results: { begin },
    });
    expect(results.report).toMatchObject({ films: 10, failed: ["broken.mkv"] });
    expect(log).toContain("report warn not transcoded");
    expect((await readdir(input.into)).filter((name) => name.includes("part"))).toEqual([]);
  });

  test("runs on machines whose owner lets them, and refuses a path that is not the same everywhere", () => {
    const plan = planRun(transcodeFolder, { input: { folder: "/films", into: "/out" } });
    const node = (name: string, ...offers: string[]) => ({
      name,
      capabilities: [...offers, workflowCapability(transcodeFolder.name, transcodeFolder.version)],
      online: true,
      lastSeenMs: 0,
      status: "active" as const,
      slots: 1,
      busy: 0,
    });
    const [first] = plan.jobs;
    if (!first) throw new Error("there is no job");
    const mesh = [node("laptop"), node("tower", "transcode")];
    expect(place([{ ...first, id: 1 }], mesh)).toMatchObject([{ placed: true, node: "tower" }]);
    expect(() => planRun(transcodeFolder, { input: { folder: "films", into: "/out" } })).toThrow(
      "must be an absolute path",
    );
  });
});
