import { type LogChunk, type Queue, QueueUnavailableError } from "@loom/queue";
import { reconnectDelayMs } from "./backoff.ts";
import { createBell } from "./bell.ts";
import type { Log } from "./log.ts";

/** What the queue keeps of an attempt's output. */
const LIMIT_BYTES = 10_485_760;
/** Of longer output, this much of its end is kept. */
const TAIL_BYTES = 1_048_576;
/** Room for the line that says what was left out. */
const NOTE_BYTES = 200;
/** Of one chunk, in UTF-16 units: at most three bytes each, and the queue takes 256 KiB. */
const CHUNK_LENGTH = 65_536;
/** How long to collect output before it is sent. */
const COLLECT_MS = 200;

/** The output of one attempt, on its way to the queue. */
export interface AttemptLog {
  write(text: string): void;
  /** Sends what is left. Resolves when all was answered, or when told to give up. Never fails. */
  end(): Promise<void>;
  /** What the queue has not confirmed, in order. */
  unsent(): LogChunk[];
}

export interface AttemptLogDeps {
  queue: Pick<Queue, "appendLog">;
  /** Makes sure that the lease was not lost unnoticed; fails when the database does not answer. */
  revalidate: () => Promise<void>;
  giveUp: AbortSignal;
  log: Log;
}

/**
 * Sends output in order, each chunk with its offset, and one call at a time: a call whose answer
 * was lost is repeated, which changes nothing.
 *
 * Of output over the limit, the beginning is sent at once; the end is held back until it is known
 * that nothing follows.
 */
export function createAttemptLog(
  claim: { node: string; id: number; fence: number },
  { queue, revalidate, giveUp, log }: AttemptLogDeps,
  limitBytes: number = LIMIT_BYTES,
): AttemptLog {
  const tailBytes = Math.min(TAIL_BYTES, Math.floor(limitBytes / 4));
  let room = limitBytes - tailBytes - NOTE_BYTES;
  let tail = "";
  let leftOut = 0;
  let start = 0;
  let pending = "";
  let inFlight: LogChunk | undefined;
  let isRefused = false;
  let sending: Promise<void> | undefined;
  const timer = createBell();

  async function send(): Promise<void> {
    for (let failures = 0; pending !== "" || inFlight; ) {
      inFlight ??= next();
      try {
        await revalidate();
        const answer = await queue.appendLog(claim, [inFlight]);
        if (answer !== "accepted") return refuse({ answer });
        inFlight = undefined;
        failures = 0;
      } catch (error) {
        if (!(error instanceof QueueUnavailableError)) return refuse({ err: error });
        failures += 1;
        await timer.wait(reconnectDelayMs(failures), giveUp);
        if (giveUp.aborted) return;
      }
    }
  }

  function next(): LogChunk {
    const [chunk, rest] = cut(pending, CHUNK_LENGTH);
    pending = rest;
    const taken = { start, chunk };
    start += Buffer.byteLength(chunk);
    return taken;
  }

  function refuse(why: object): void {
    log.warn(why, "the attempt's output is not kept any more");
    isRefused = true;
    pending = tail = "";
    inFlight = undefined;
  }

  function append(text: string): void {
    pending += text;
    if (sending || pending === "") return;
    sending = (async () => {
      if (pending.length < CHUNK_LENGTH) await timer.wait(COLLECT_MS, giveUp);
      await send();
      sending = undefined;
    })();
  }

  function holdBack(text: string): void {
    tail += text;
    if (tail.length <= 2 * tailBytes) return;
    const kept = tail.slice(-tailBytes);
    leftOut += Buffer.byteLength(tail) - Buffer.byteLength(kept);
    tail = kept;
  }

  return {
    write(text) {
      if (isRefused) return;
      const [head, rest] = cutBytes(text, tail === "" && leftOut === 0 ? room : 0);
      room -= Buffer.byteLength(head);
      append(head);
      if (rest !== "") holdBack(rest);
    },

    async end() {
      const kept = lastBytes(tail, tailBytes);
      leftOut += Buffer.byteLength(tail) - Buffer.byteLength(kept);
      const note = leftOut > 0 ? `\n… ${leftOut} bytes are left out here …\n` : "";
      tail = "";
      append(note + kept);
      timer.ring();
      await sending;
      // Written while the last call was on its way; or not tried again since it was given up.
      if (pending !== "" && !giveUp.aborted) await send();
    },

    unsent() {
      const chunks = inFlight ? [inFlight] : [];
      const mark = { start, pending };
      while (pending !== "") chunks.push(next());
      ({ start, pending } = mark);
      return chunks;
    },
  };
}

/** Splits a text at an index, but not inside of a character. */
function cut(text: string, index: number): [string, string] {
  const before = text.charCodeAt(index - 1);
  const at = index < text.length && before >= 0xd800 && before <= 0xdbff ? index - 1 : index;
  return [text.slice(0, at), text.slice(at)];
}

/** Splits a text so that its beginning has at most so many bytes. */
function cutBytes(text: string, bytes: number): [string, string] {
  if (Buffer.byteLength(text) <= bytes) return [text, ""];
  // Whole characters only: this many units were read.
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(Math.max(0, bytes)));
  return cut(text, read);
}

function lastBytes(text: string, bytes: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= bytes) return text;
  // A character that was cut through decodes as a replacement, which is longer.
  let from = encoded.length - bytes;
  while (((encoded[from] ?? 0) & 0xc0) === 0x80) from += 1;
  return encoded.subarray(from).toString();
}
