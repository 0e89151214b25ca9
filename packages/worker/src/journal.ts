import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import type { LogChunk, Settlement } from "@loom/queue";
import { JournalError } from "./errors.ts";
import type { Log } from "./log.ts";

/** Of what was refused, this many are kept. */
const MAX_REFUSED = 100;

/** What an attempt came to, as long as the database does not have it. */
export interface JournalEntry {
  node: string;
  workflow: string;
  step: string;
  settlement: Settlement;
  /** Output that the database has not confirmed. */
  log: LogChunk[];
}

/** Outcomes on disk: they outlive the agent. */
export interface Journal {
  /**
   * Writes an entry, so that it is there after a power failure too.
   *
   * @throws JournalError
   */
  write(entry: JournalEntry): Promise<void>;
  /** Forgets an entry, written or not. */
  remove(entry: JournalEntry): Promise<void>;
  /** Keeps an entry aside as evidence of work that was done and did not count. */
  refuse(entry: JournalEntry, reason: string): Promise<void>;
  /** All entries; their order says nothing. What cannot be read is put aside. */
  read(): Promise<JournalEntry[]>;
}

/**
 * Opens a journal: a folder with one file an attempt, and a folder `refused` with those that did not count.
 * One folder a node.
 *
 * @throws JournalError when nothing can be written there.
 */
export async function openJournal(folder: string, { log }: { log: Log }): Promise<Journal> {
  const refused = path.join(folder, "refused");
  try {
    await mkdir(refused, { recursive: true, mode: 0o700 });
    await writeDurably(path.join(folder, "probe"), "");
    await rm(path.join(folder, "probe"));
  } catch (cause) {
    throw new JournalError(folder, cause);
  }

  async function putAside(name: string, facts: object, message: string): Promise<void> {
    await rename(path.join(folder, name), path.join(refused, name));
    log.warn({ ...facts, file: path.join(refused, name) }, message);
    for (const old of await tooMany(refused)) await rm(path.join(refused, old));
  }

  const journal: Journal = {
    async write(entry) {
      try {
        await writeDurably(path.join(folder, nameOf(entry)), seal(entry));
      } catch (cause) {
        throw new JournalError(folder, cause);
      }
    },
    remove: (entry) => rm(path.join(folder, nameOf(entry)), { force: true }),
    async refuse(entry, reason) {
      await journal.write(entry);
      const { workflow, step } = entry;
      await putAside(
        nameOf(entry),
        { reason, workflow, step },
        "work that was done does not count: kept as evidence",
      );
    },
    async read() {
      const entries: JournalEntry[] = [];
      for (const name of await entriesOf(folder)) {
        const text = await readFile(path.join(folder, name), "utf8").catch(absent);
        // An agent that this one takes over from may still be at it.
        if (text === undefined) continue;
        const entry = unseal(text);
        if (entry) entries.push(entry);
        else await putAside(name, {}, "an entry of the journal is damaged: put aside");
      }
      return entries;
    },
  };
  return journal;
}

const nameOf = ({ settlement }: JournalEntry): string =>
  `${settlement.id}-${settlement.fence}.json`;

// The digest comes first: half an entry has the wrong one, whatever half of it is there.
const seal = (entry: JournalEntry): string => {
  const json = JSON.stringify(entry);
  return `${digestOf(json)}\n${json}\n`;
};

function unseal(text: string): JournalEntry | undefined {
  const [digest, json = ""] = text.split("\n");
  return digest === digestOf(json) ? (JSON.parse(json) as JournalEntry) : undefined;
}

const digestOf = (json: string): string => createHash("sha256").update(json).digest("hex");

const absent = (error: NodeJS.ErrnoException): undefined => {
  if (error.code !== "ENOENT") throw error;
};

const entriesOf = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).filter((name) => name.endsWith(".json"));

/** The oldest of what was refused, as far as it is too much to keep. */
async function tooMany(refused: string): Promise<string[]> {
  const ages = await Promise.all(
    (await entriesOf(refused)).map(async (name) => {
      const { mtimeMs } = await stat(path.join(refused, name));
      return { name, mtimeMs };
    }),
  );
  ages.sort((one, other) => one.mtimeMs - other.mtimeMs);
  return ages.slice(0, -MAX_REFUSED).map(({ name }) => name);
}

/** Writes a file, whole or not at all, and waits until the disk has it. */
async function writeDurably(file: string, text: string): Promise<void> {
  const unfinished = `${file}.part`;
  try {
    const handle = await open(unfinished, "w", 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(unfinished, file);
  } catch (error) {
    await rm(unfinished, { force: true });
    throw error;
  }
  // The name is on disk when its folder is.
  const folder = await open(path.dirname(file), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
