// Opens a journal in a folder (the first argument) on a small disk, fills the disk, and frees it again.
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { type JournalEntry, type Log, openJournal } from "@loom/worker";

const silent = () => {};
const log: Log & ReturnType<Log["child"]> = {
  debug: silent,
  info: silent,
  warn: silent,
  error: silent,
  child: () => log,
};
const folder = process.argv[2] ?? "";
const entry = (id: number): JournalEntry => ({
  database: "one",
  node: "forge",
  workflow: "deploy",
  step: "build",
  settlement: { id, fence: 1, outcome: "succeeded", result: "x".repeat(10_000) },
  log: [],
});
const journal = await openJournal(folder, { log });
await journal.write(entry(1));
const filler = path.join(folder, "filler");
try {
  // More than the disk holds.
  for (let pages = 0; pages < 100; pages += 1) {
    writeFileSync(filler, "x".repeat(4_096), { flag: "a" });
  }
} catch {
  // Full.
}
const error = await journal.write(entry(2)).catch((reason: unknown) => reason);
const { code, message } = Object(error);
const left = readdirSync(folder).filter((name) => name.includes("2-1"));
rmSync(filler);
await journal.write(entry(3));
const ids = (await journal.read()).map(({ settlement }) => settlement.id);
console.log(JSON.stringify({ code, message, left, ids }));
