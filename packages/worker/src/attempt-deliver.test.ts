import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Settlement, SettlementAnswer } from "@loom/queue";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { recordLog } from "../test/recorded-log.ts";
import { deliver } from "./attempt.ts";
import { openJournal } from "./journal.ts";

const settlement: Settlement = { id: 7, fence: 2, outcome: "succeeded", result: "done" };
const entry = () => ({
  database: "one",
  node: "forge",
  workflow: "deploy",
  step: "build",
  settlement,
  log: [],
});

const output = { endButLast: async () => {}, unsent: () => [], answered: () => {} };

/** Delivers with a journal on disk, to a queue that answers when the test says so, or never. */
async function delivering() {
  const folder = await mkdtemp(path.join(tmpdir(), "loom-deliver-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const log = recordLog();
  const journal = await openJournal(folder, { log });
  const giveUp = new AbortController();
  let answer: SettlementAnswer["answer"] | undefined;
  const deps = {
    async send() {
      await vi.waitUntil(() => answer !== undefined || giveUp.signal.aborted);
      return answer && { answer, log: undefined };
    },
    slot: { isOver: true, isSent: false, isSettled: false },
    log,
    journal,
  };
  const files = async () => (await readdir(folder)).filter((name) => name !== "refused");
  return {
    folder,
    log,
    giveUp,
    files,
    says(value: SettlementAnswer["answer"]) {
      answer = value;
    },
    start: () => deliver({ output, entry }, deps),
  };
}

describe("deliver", () => {
  test("does not touch the disk when it is answered at once", async () => {
    const { folder, files, start, says } = await delivering();
    says("accepted");
    // No journal could be written there.
    await rm(folder, { recursive: true });
    await writeFile(folder, "");
    expect(await start()).toBe("recorded");
    await rm(folder);
    await expect(files()).rejects.toThrow("ENOENT");
  });

  test("keeps the outcome on disk until it is answered", async () => {
    const { files, start, says } = await delivering();
    const done = start();
    await expect.poll(files).toEqual(["7-2@one.json"]);
    says("salvaged");
    expect(await done).toBe("recorded");
    expect(await files()).toEqual([]);
  });

  test("leaves the outcome on disk when it gives up", async () => {
    const { files, giveUp, start } = await delivering();
    const done = start();
    await expect.poll(files).toEqual(["7-2@one.json"]);
    giveUp.abort();
    expect(await done).toBe("unanswered");
    expect(await files()).toEqual(["7-2@one.json"]);
  });

  test.for<SettlementAnswer["answer"]>(["stale", "unknown", "too_large"])(
    "keeps an outcome as evidence when the answer is %s",
    async (answer) => {
      const { folder, files, log, start, says } = await delivering();
      says(answer);
      expect(await start()).toBe("refused");
      expect(await files()).toEqual([]);
      expect(await readdir(path.join(folder, "refused"))).toEqual(["7-2@one.json"]);
      expect(log.lines).toContainEqual(
        expect.objectContaining({ message: expect.stringContaining("kept as evidence") }),
      );
    },
  );

  test("goes on without a journal that cannot be written, and says so", async () => {
    const { folder, log, start, says } = await delivering();
    await rm(folder, { recursive: true });
    await writeFile(folder, "");
    const done = start();
    await expect
      .poll(() => log.lines.map(({ message }) => message))
      .toContainEqual(expect.stringContaining("in memory only"));
    await rm(folder);
    says("accepted");
    expect(await done).toBe("recorded");
    expect(log.lines).toContainEqual(
      expect.objectContaining({
        level: "error",
        facts: { err: expect.objectContaining({ code: "JOURNAL_UNWRITABLE" }) },
      }),
    );
  });
});
