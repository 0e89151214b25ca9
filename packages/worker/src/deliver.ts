import { type Queue, QueueRequestError } from "@loom/queue";
import { within } from "./abort.ts";
import type { Journal, JournalEntry } from "./journal.ts";
import type { Log } from "./log.ts";
import { type SettleDeps, type Settled, settle } from "./settle.ts";

/** An outcome that was not answered for so long is written to disk. A database that is there is quicker. */
const JOURNAL_AFTER_MS = 250;

/**
 * Brings an attempt's outcome to the database, however long it is away; its output first. Meanwhile the
 * outcome is on disk, for the next start of the agent.
 *
 * @param sendLog - Sends the rest of the output.
 * @param entry - What is to be kept on disk, as things are now.
 */
export async function deliver(
  { sendLog, entry }: { sendLog: () => Promise<void>; entry: () => JournalEntry },
  { journal, ...deps }: SettleDeps & { journal: Journal | undefined },
): Promise<Settled> {
  const { settlement } = entry();
  const delivering = sendLog().then(() => settle(settlement, deps));
  // What was only given back is given back by the next start as well.
  const isWork = settlement.outcome === "succeeded" || settlement.outcome === "failed";
  if (!journal || !isWork) return delivering;
  let settled: Settled | undefined;
  // Whoever awaits it gets the error.
  const noted = delivering.then(
    (answer) => {
      settled = answer;
    },
    () => {},
  );
  await within(JOURNAL_AFTER_MS, noted);
  const written = settled === undefined ? keep(journal, entry(), deps.log) : undefined;
  try {
    settled = await delivering;
  } catch (error) {
    // Refused for what it is not to blame for, such as a key that was withdrawn: the next start tries again.
    await (written ?? keep(journal, entry(), deps.log));
    throw error;
  }
  await written;
  if (settled === "recorded") {
    if (written) await journal.remove(entry());
  } else if (settled === "refused") {
    await journal
      .refuse(entry(), "refused")
      .catch((error: unknown) => deps.log.error({ err: error }, "refused work could not be kept"));
  }
  return settled;
}

/** Without a journal that can be written, the outcome is still in memory, and goes on being offered. */
const keep = (journal: Journal, entry: JournalEntry, log: Log): Promise<void> =>
  journal.write(entry).then(
    () => log.warn({}, "outcome is kept in the journal until the database answers"),
    (error: unknown) =>
      log.error({ err: error }, "outcome is in memory only: it would be lost with the agent"),
  );

/**
 * Brings what an earlier start of the agent left in its journal to the database, under the claims
 * that it had. Before the new start says hello: that gives those jobs away.
 *
 * @throws QueueUnavailableError when the database does not answer; what is left stays in the journal.
 */
export async function replay(
  journal: Journal,
  { queue, node, log }: { queue: Pick<Queue, "settle" | "appendLog">; node: string; log: Log },
): Promise<void> {
  for (const entry of await journal.read()) {
    const { workflow, step, settlement } = entry;
    const { id, fence } = settlement;
    const answer =
      entry.node === node ? await offer(queue, entry) : `it is of the node ${entry.node}`;
    const isRecorded = RECORDED.includes(answer);
    log
      .child({ jobId: id, fence, workflow, step })
      .info({ answer }, "an outcome of an earlier start was offered to the database");
    await (isRecorded ? journal.remove(entry) : journal.refuse(entry, answer));
  }
}

const RECORDED = ["accepted", "salvaged", "duplicate"];

/** Offers an entry once: whoever calls tries again. */
async function offer(
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
    // An entry that cannot be asked about must not keep the agent from all others.
    if (error instanceof QueueRequestError) return error.code;
    throw error;
  }
}
