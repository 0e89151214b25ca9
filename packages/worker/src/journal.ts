import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { type LogChunk, type Queue, QueueRequestError, type Settlement } from "@loom/queue";
import type { Log } from "./log.ts";

/** The disk must have room for this many bytes when a journal is opened: an outcome of common size with its output. */
const PROBE_LENGTH = 65_536;

/** How many refused entries are kept. */
const MAX_REFUSED = 100;

/** The journal cannot be written, so an outcome would not outlive the agent. */
export class JournalError extends Error {
  override readonly name = "JournalError";
  readonly code = "JOURNAL_UNWRITABLE";
  readonly folder: string;
  constructor(folder: string, cause: unknown) {
    super(
      `the journal in ${folder} cannot be written (${cause instanceof Error ? cause.message : String(cause)}): free disk space, or give the agent a folder that it may write to`,
      { cause },
    );
    this.folder = folder;
  }
}

/** The outcome of an attempt that the database does not have yet. */
export interface JournalEntry {
  /** The id of the database that it is for. In another one, the same id is another job's. */
  database: string;
  node: string;
  workflow: string;
  step: string;
  settlement: Settlement;
  /** Output that the database has not confirmed. */
  log: LogChunk[];
}

/** Outcomes on disk, which outlive the agent. */
export interface Journal {
  /**
   * Writes an entry so that it survives a power failure.
   *
   * @throws JournalError
   */
  write(entry: JournalEntry): Promise<void>;
  /** Forgets an entry, written or not. */
  remove(entry: JournalEntry): Promise<void>;
  /** Moves an entry aside, as evidence of work that was done and did not count. */
  refuse(entry: JournalEntry, reason: string): Promise<void>;
  /** Reads all entries, in no order. An entry that cannot be read is put aside. */
  read(): Promise<JournalEntry[]>;
}

/**
 * Opens the journal of a node: a folder with one file per attempt, and a folder `refused` with the
 * entries that did not count.
 *
 * @throws JournalError when nothing can be written there.
 */
export async function openJournal(folder: string, { log }: { log: Log }): Promise<Journal> {
  const refused = path.join(folder, "refused");
  try {
    await mkdir(refused, { recursive: true, mode: 0o700 });
    // A full disk still takes an empty file.
    await writeDurably(path.join(folder, "probe"), "x".repeat(PROBE_LENGTH));
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
        // An agent that this one replaces may have removed it meanwhile.
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

/**
 * Sends the outcomes that an earlier start of the agent left to the database, under the claims that
 * they had. Call it before the new start says hello, which gives those jobs back. An outcome for
 * another database stays until the agent works for that one again.
 *
 * @throws QueueUnavailableError when the database does not answer. The rest stays in the journal.
 */
export async function replay(
  journal: Journal,
  {
    queue,
    node,
    log,
  }: {
    queue: Pick<Queue, "settle" | "appendLog" | "describeDatabase">;
    node: string;
    log: Log;
  },
): Promise<void> {
  const entries = await journal.read();
  if (entries.length === 0) return;
  const database = await queue.describeDatabase();
  for (const entry of entries) {
    const { workflow, step, settlement } = entry;
    const { id, fence } = settlement;
    if (entry.database !== database.id) {
      log.warn(
        { jobId: id, fence, workflow, step, database: entry.database },
        "an outcome of an earlier start is for another database: it stays in the journal",
      );
      continue;
    }
    const answer =
      entry.node === node ? await send(queue, entry) : `it belongs to node ${entry.node}`;
    log
      .child({ jobId: id, fence, workflow, step })
      .info({ answer }, "an outcome of an earlier start was sent to the database");
    await (isRecorded(answer) ? journal.remove(entry) : journal.refuse(entry, answer));
  }
}

/** Whether an answer to a settle means that the database has the outcome. */
export const isRecorded = (answer: string): boolean =>
  answer === "accepted" || answer === "salvaged" || answer === "duplicate";

/** Sends an entry once. The caller retries. */
async function send(
  queue: Pick<Queue, "settle" | "appendLog">,
  { node, settlement, log }: JournalEntry,
): Promise<string> {
  const { id, fence } = settlement;
  try {
    for (const chunk of log) {
      if ((await queue.appendLog({ node, id, fence }, [chunk])) !== "accepted") break;
    }
    const [settled] = await queue.settle(node, [settlement]);
    return settled?.answer ?? "unknown";
  } catch (error) {
    // One entry that the database refuses to read must not hold up the others.
    if (error instanceof QueueRequestError) return error.code;
    throw error;
  }
}

const nameOf = ({ database, settlement }: JournalEntry): string =>
  `${settlement.id}-${settlement.fence}@${database}.json`;

// The digest comes first, so that any part of an entry has the wrong one.
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

/** The oldest refused entries beyond the number that is kept. */
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

/** Writes a file, whole or not at all, and waits until it is on disk. */
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
  // A file's name is on disk when its folder is.
  const folder = await open(path.dirname(file), "r");
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
