import { mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { recordLog } from "../test/recorded-log.ts";
import { type JournalEntry, openJournal } from "./journal.ts";

const entry = (id: number, result: string | null = null): JournalEntry => ({
  database: "one",
  node: "forge",
  workflow: "deploy",
  step: "build",
  settlement: { id, fence: 1, outcome: "succeeded", result },
  log: [{ start: 0, chunk: "built\n" }],
});

async function makeFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "loom-journal-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}

async function opened() {
  const folder = await makeFolder();
  const log = recordLog();
  return { folder, log, journal: await openJournal(folder, { log }) };
}

describe("openJournal", () => {
  test("returns written outcomes, also after a restart", async () => {
    const { folder, log, journal } = await opened();
    const entries = [entry(9, "\u0000 漢 \u2028\n"), entry(2), entry(11)];
    for (const one of entries) await journal.write(one);
    const read = await (await openJournal(folder, { log })).read();
    expect(read).toHaveLength(3);
    expect(read).toEqual(expect.arrayContaining(entries));
    await journal.remove(entry(2));
    const ids = (await journal.read()).map(({ settlement }) => settlement.id);
    expect(ids.sort((one, other) => one - other)).toEqual([9, 11]);
  });

  test("forgets an entry that was not written", async () => {
    const { journal } = await opened();
    await journal.remove(entry(1));
    expect(await journal.read()).toEqual([]);
  });

  test.for([
    { title: "cut short", damage: (file: string) => truncate(file, 100) },
    { title: "empty", damage: (file: string) => truncate(file, 0) },
    {
      title: "changed",
      damage: async (file: string) =>
        writeFile(file, (await readFile(file, "utf8")).replace("build", "biuld")),
    },
    { title: "something else", damage: (file: string) => writeFile(file, "{}\n") },
  ])("puts an entry aside that is $title, says so, and reads the others", async ({ damage }) => {
    const { folder, log, journal } = await opened();
    await journal.write(entry(1));
    await journal.write(entry(2));
    await damage(path.join(folder, "1-1@one.json"));
    expect(await journal.read()).toEqual([entry(2)]);
    expect(log.lines).toMatchObject([
      { level: "warn", facts: { file: path.join(folder, "refused", "1-1@one.json") } },
    ]);
    expect(await readdir(path.join(folder, "refused"))).toEqual(["1-1@one.json"]);
  });

  test("ignores an unfinished entry", async () => {
    const { folder, journal } = await opened();
    await writeFile(path.join(folder, "1-1@one.json.part"), "half");
    expect(await journal.read()).toEqual([]);
    await journal.write(entry(1));
    expect(await journal.read()).toEqual([entry(1)]);
  });

  test("keeps the newest hundred refused outcomes", async () => {
    const { folder, log, journal } = await opened();
    for (let id = 1; id <= 103; id += 1) await journal.refuse(entry(id), "stale");
    const kept = await readdir(path.join(folder, "refused"));
    expect(kept).toHaveLength(100);
    expect(kept).toContain("103-1@one.json");
    expect(await journal.read()).toEqual([]);
    expect(log.lines[0]).toMatchObject({
      level: "warn",
      facts: { reason: "stale", step: "build" },
    });
  });

  test("reports at once that it cannot write, with the place and the fix", async () => {
    const folder = await makeFolder();
    const file = path.join(folder, "file");
    await writeFile(file, "");
    await expect(openJournal(file, { log: recordLog() })).rejects.toMatchObject({
      code: "JOURNAL_UNWRITABLE",
      folder: file,
      message: expect.stringContaining("free disk space, or give the agent a folder"),
    });
  });
});
