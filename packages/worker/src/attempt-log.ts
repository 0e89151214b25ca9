import { type AppendAnswer, type LogChunk, type Queue, QueueUnavailableError } from "@loom/queue";
import type { Log } from "./log.ts";
import { reconnectDelayMs, slowestMsFor } from "./loop.ts";
import { createWaker } from "./wait.ts";

/** The size up to which the queue keeps an attempt's output. */
const LIMIT_BYTES = 10_485_760;
/** How much of the end of longer output is kept. */
const TAIL_BYTES = 1_048_576;
/** Room for the line that says how much was left out. */
const NOTE_BYTES = 200;
/** The length of a chunk in UTF-16 units. Each takes at most three bytes, and the queue accepts 256 KiB. */
const CHUNK_LENGTH = 65_536;
/** The length of output, in UTF-16 units, that may wait for the call that settles the attempt. */
const LAST_LENGTH = 16_384;
/** How long to collect output before it is sent. What comes after a silence is sent sooner. */
const COLLECT_MS = 200;
const AFTER_SILENCE_MS = 20;

/** Sends the output of one attempt to the queue. */
export interface AttemptLog {
  write(text: string): void;
  /** Sends the rest. Resolves when the queue has confirmed all of it, or when `giveUp` aborts. Never fails. */
  end(): Promise<void>;
  /** Sends the rest but for a short last chunk, which is to go with the outcome: see `unsent`. Never fails. */
  endButLast(): Promise<void>;
  /** Records the queue's answer to what `unsent` returned. */
  answered(answer: AppendAnswer): void;
  /** The chunks that the queue has not confirmed, in order. */
  unsent(): LogChunk[];
}

export interface AttemptLogDeps {
  queue: Pick<Queue, "appendLog">;
  /** Checks that the lease still holds after a silence. Fails when the database does not answer. */
  revalidate: () => Promise<void>;
  giveUp: AbortSignal;
  log: Log;
}

/**
 * Sends output in order, each chunk with its offset, one call at a time. Repeating a call whose answer
 * was lost changes nothing.
 *
 * When output exceeds the limit, its beginning is sent at once, and its end when the attempt ends.
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
  let isEnding = false;
  let sentAt = Number.NEGATIVE_INFINITY;
  let sending: Promise<void> | undefined;
  const timer = createWaker();

  async function send(leftLength = 0): Promise<void> {
    for (let failures = 0; pending.length > leftLength || inFlight; ) {
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
        await timer.wait(reconnectDelayMs(failures, { maxMs: slowestMsFor(error) }), giveUp);
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
    log.warn(why, "the rest of the attempt's output is not kept");
    isRefused = true;
    pending = tail = "";
    inFlight = undefined;
  }

  function append(text: string): void {
    pending += text;
    if (sending || pending === "") return;
    sending = (async () => {
      if (pending.length < CHUNK_LENGTH) {
        const silentMs = performance.now() - sentAt;
        await timer.wait(Math.max(AFTER_SILENCE_MS, COLLECT_MS - silentMs), giveUp);
      }
      await send(isEnding ? LAST_LENGTH : 0);
      sentAt = performance.now();
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

  async function endUpTo(leftLength: number): Promise<void> {
    const kept = lastBytes(tail, tailBytes);
    leftOut += Buffer.byteLength(tail) - Buffer.byteLength(kept);
    const note = leftOut > 0 ? `\n… ${leftOut} bytes are left out here …\n` : "";
    tail = "";
    append(note + kept);
    timer.wake();
    await sending;
    // More output arrived during the last call.
    if (pending.length > leftLength && !giveUp.aborted) await send(leftLength);
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
      await endUpTo(0);
    },

    async endButLast() {
      isEnding = true;
      await endUpTo(LAST_LENGTH);
    },

    answered(answer) {
      if (answer !== "accepted") return refuse({ answer });
      pending = "";
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

/** Splits a text at an index, but never inside a character. */
function cut(text: string, index: number): [string, string] {
  const before = text.charCodeAt(index - 1);
  const at = index < text.length && before >= 0xd800 && before <= 0xdbff ? index - 1 : index;
  return [text.slice(0, at), text.slice(at)];
}

/** Splits a text so that its beginning has at most `bytes` bytes. */
function cutBytes(text: string, bytes: number): [string, string] {
  if (Buffer.byteLength(text) <= bytes) return [text, ""];
  // `encodeInto` writes only whole characters and returns how many units it read.
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(Math.max(0, bytes)));
  return cut(text, read);
}

function lastBytes(text: string, bytes: number): string {
  const encoded = Buffer.from(text);
  if (encoded.length <= bytes) return text;
  // Moved forward, so that the cut is not inside a character.
  let from = encoded.length - bytes;
  while (((encoded[from] ?? 0) & 0xc0) === 0x80) from += 1;
  return encoded.subarray(from).toString();
}
