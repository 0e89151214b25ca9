import { JobNotFoundError, type Queue } from "@loom/queue";
import { type LogPart, toLogPart } from "../views/log.ts";
import type { EventFeed } from "./event-feed.ts";
import { END } from "./event-frames.ts";
import { HEARTBEAT_MS, heartbeat, type Stream, toFrame } from "./event-stream.ts";

/** How often to look for new output while the job runs. */
const POLL_MS = 1_000;
const CHUNKS = 16;

/** Where a listener left off: in the log of which claim, at which byte. */
export interface LogPlace {
  fence: number | null;
  offset: number;
}

/** `<fence>.<offset>`, as the frames of a log have it as id. */
export function readLogPlace(id: string | undefined): LogPlace | undefined {
  const [, fence, offset] = /^(\d{1,9})\.(\d{1,9})$/.exec(id ?? "") ?? [];
  return fence === undefined ? undefined : { fence: Number(fence), offset: Number(offset) };
}

/** Listeners who are at the same place share the answer. */
function createReader(queue: Queue) {
  const underWay = new Map<string, Promise<LogPart & { isFinished: boolean }>>();
  const read = async (jobId: number, { fence, offset }: LogPlace) => {
    // Before the log: output that comes later belongs to a job that was not finished.
    const job = await queue.getJob(jobId);
    const page = await queue.readLog(jobId, {
      from: offset,
      limit: CHUNKS,
      ...(fence !== null && { fence }),
    });
    return { ...toLogPart(page, offset), isFinished: "finishedAt" in job };
  };
  return (jobId: number, place: LogPlace) => {
    const key = `${jobId} ${place.fence} ${place.offset}`;
    const known = underWay.get(key);
    if (known) return known;
    const answer = read(jobId, place).finally(() => underWay.delete(key));
    underWay.set(key, answer);
    return answer;
  };
}

/** A job's output as frames, until the job is finished. */
export function createLogFrames({ queue, feed }: { queue: Queue; feed: EventFeed }) {
  const read = createReader(queue);

  return async (
    jobId: number,
    start: LogPlace,
    { signal, hangUp }: Stream,
  ): Promise<AsyncIterator<string>> => {
    const subscription = await feed.subscribe({
      matches: (event) => event.jobId === jobId,
      onLost: hangUp,
      signal,
    });
    // That there is such a job is known before the stream begins.
    const first = await read(jobId, start);

    async function* frames(): AsyncGenerator<string, undefined> {
      try {
        yield "retry: 2000\n\n";
        let part = first;
        let quietSince = performance.now();
        for (;;) {
          const place: LogPlace = { fence: part.fence, offset: part.next };
          if (part.text !== "") {
            const id = `${part.fence ?? 0}.${part.next}`;
            const { isFinished: _, ...data } = part;
            yield toFrame({ id, event: "log", data });
            quietSince = performance.now();
          } else if (part.isFinished) {
            yield toFrame({ id: END, event: "end", data: {} });
            return;
          } else if (performance.now() - quietSince >= HEARTBEAT_MS) {
            yield heartbeat;
            quietSince = performance.now();
          }
          if (part.text === "") await subscription.next(POLL_MS);
          if (signal.aborted) return;
          part = await readOn(place);
        }
      } catch (error) {
        // Pruned while it was read: there is no more.
        if (!(error instanceof JobNotFoundError)) throw error;
        yield toFrame({ id: END, event: "end", data: {} });
      }
      return;
    }

    /** What follows; from the beginning of the next attempt where this one is over. */
    async function readOn(place: LogPlace): Promise<LogPart & { isFinished: boolean }> {
      const part = await read(jobId, place);
      if (part.text !== "" || part.isFinished) return part;
      const newest = await read(jobId, { fence: null, offset: 0 });
      return newest.fence === place.fence ? part : newest;
    }

    return frames();
  };
}
