import type { Log } from "@loom/client";
import { JobNotFoundError, type LogPage, type Queue } from "@loom/queue";
import type { EventFeed } from "./event-feed.ts";
import { endFrame } from "./event-frames.ts";
import { HEARTBEAT_MS, heartbeat, type Stream, toFrame } from "./event-stream.ts";

/**
 * How often to poll for new output while the job runs: output is on a listener's screen 300 ms after it was written, of
 * which its node may hold it back for 200. Many listeners share what the database can bear.
 */
const POLL_MS = 80;
const POLL_MS_EACH = 20;
const LONGEST_POLL_MS = 1_000;
/** Chunks of one answer, each up to 256 KiB. */
export const LOG_CHUNKS = 16;

/** A position in a job's output: the claim that wrote it, and the byte. */
export interface LogPosition {
  fence: number | null;
  offset: number;
}

/** Parses the id of a log frame, which is `<fence>.<offset>`. */
function parsePosition(id: string | undefined): LogPosition | undefined {
  const [, fence, offset] = /^(\d{1,9})\.(\d{1,9})$/.exec(id ?? "") ?? [];
  return fence === undefined ? undefined : { fence: Number(fence), offset: Number(offset) };
}

/**
 * The output from a byte on; the first chunk may begin before it. Where output is missing because a node was lost
 * before it could send it, the text continues with the next chunk.
 */
export function toLog({ fence, chunks, next }: LogPage, from: number): Log {
  const [first, ...others] = chunks;
  if (!first) return { fence, offset: from, text: "", next: from };
  const skipped = Math.max(0, from - first.start);
  const head = Buffer.from(first.chunk).subarray(skipped).toString();
  return {
    fence,
    offset: first.start + skipped,
    text: [head, ...others.map(({ chunk }) => chunk)].join(""),
    next,
  };
}

/** The last lines of a log, of chunks that hold at least as many. A last line needs no newline. */
export function toTail({ fence, chunks, next }: LogPage, lines: number): Log {
  const text = chunks.map(({ chunk }) => chunk).join("");
  // The newline at the very end belongs to the last line.
  let cut = text.endsWith("\n") ? text.length - 1 : text.length;
  for (let left = lines; left > 0 && cut >= 0; left -= 1) {
    cut = cut === 0 ? -1 : text.lastIndexOf("\n", cut - 1);
  }
  const begin = lines === 0 ? text.length : cut + 1;
  let before = 0;
  for (const { start, chunk } of chunks) {
    if (begin < before + chunk.length) {
      const offset = start + Buffer.byteLength(chunk.slice(0, begin - before));
      return { fence, offset, text: text.slice(begin), next };
    }
    before += chunk.length;
  }
  return { fence, offset: next, text: "", next };
}

/** Reads output. Listeners at the same position share one read. */
function createReader(queue: Queue) {
  const underWay = new Map<string, Promise<Log & { isFinished: boolean }>>();
  const read = async (jobId: number, { fence, offset }: LogPosition) => {
    // The job is read before its log: then no output can follow a job that was read as finished.
    const job = await queue.getJob(jobId);
    const page = await queue.readLog(jobId, {
      from: offset,
      limit: LOG_CHUNKS,
      ...(fence !== null && { fence }),
    });
    return { ...toLog(page, offset), isFinished: "finishedAt" in job };
  };
  return (jobId: number, position: LogPosition) => {
    const key = `${jobId} ${position.fence} ${position.offset}`;
    const known = underWay.get(key);
    if (known) return known;
    const answer = read(jobId, position).finally(() => underWay.delete(key));
    underWay.set(key, answer);
    return answer;
  };
}

/** Creates the frames of a job's output, until the job is finished. */
export function createLogFrames({ queue, feed }: { queue: Queue; feed: EventFeed }) {
  const read = createReader(queue);
  let listeners = 0;
  const pollMs = () => Math.min(LONGEST_POLL_MS, POLL_MS + POLL_MS_EACH * listeners);

  return async (
    jobId: number,
    lastEventId: string | undefined,
    { signal, hangUp }: Stream,
  ): Promise<AsyncIterator<string>> => {
    const subscription = await feed.subscribe({
      matches: (event) => event.jobId === jobId,
      onLost: hangUp,
      signal,
    });
    if (!signal.aborted) {
      listeners += 1;
      // It aborts when the stream ends for whatever reason.
      signal.addEventListener("abort", () => (listeners -= 1), { once: true });
    }
    // A job that does not exist is refused before the stream begins.
    const { first, isLost } = await begin(lastEventId);

    async function* frames(): AsyncGenerator<string, undefined> {
      try {
        yield "retry: 2000\n\n";
        if (isLost) yield toFrame({ event: "reset", data: {} });
        let part = first;
        let quietSince = performance.now();
        for (;;) {
          const position: LogPosition = { fence: part.fence, offset: part.next };
          if (part.text !== "") {
            const id = `${part.fence ?? 0}.${part.next}`;
            const { isFinished: _, ...data } = part;
            yield toFrame({ id, event: "log", data });
            quietSince = performance.now();
          } else if (part.isFinished) {
            yield endFrame();
            return;
          } else if (performance.now() - quietSince >= HEARTBEAT_MS) {
            yield heartbeat;
            quietSince = performance.now();
          }
          if (part.text === "") await subscription.next(pollMs());
          if (signal.aborted) return;
          part = await readOn(position);
        }
      } catch (error) {
        // The job was pruned while its log was read.
        if (!(error instanceof JobNotFoundError)) throw error;
        yield endFrame();
      }
    }

    /** Reads from the listener's position if the log has it, else from the beginning. */
    async function begin(id: string | undefined) {
      const position = parsePosition(id);
      const isKnown = position !== undefined && (await isInLog(position));
      const first = await read(jobId, isKnown ? position : { fence: null, offset: 0 });
      return { first, isLost: id !== undefined && !isKnown };
    }

    /** Whether the log has the byte before this position, as it does for every id that was sent. */
    async function isInLog({ fence, offset }: LogPosition): Promise<boolean> {
      if (fence === null || offset === 0) return false;
      const { next } = await queue.readLog(jobId, { fence, from: offset - 1, limit: 1 });
      return next >= offset;
    }

    /**
     * Reads what follows, or the beginning of the next attempt when this one is over. A finished job may have had one
     * since the last look.
     */
    async function readOn(position: LogPosition): Promise<Log & { isFinished: boolean }> {
      const part = await read(jobId, position);
      if (part.text !== "") return part;
      const newest = await read(jobId, { fence: null, offset: 0 });
      return newest.fence === position.fence ? part : newest;
    }

    return frames();
  };
}
