import { StringDecoder } from "node:string_decoder";

const TAIL_CHARACTERS = 2_000;

/** A piece of the output of a command. */
export interface Output {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
}

interface CaptureOptions {
  /** The line after which a command's own output begins, on each stream. */
  readonly begin: string;
  readonly maxBytes: number;
  readonly onOutput: (output: Output) => void;
}

/** Creates a capture that passes on all output of a command, and keeps only its beginning. */
export function createCapture({ begin, maxBytes, onOutput }: CaptureOptions) {
  const stream = (name: Output["stream"]) =>
    createStream({ begin, maxBytes, onText: (text) => onOutput({ stream: name, text }) });
  const [stdout, stderr] = [stream("stdout"), stream("stderr")];
  return {
    stdout: stdout.add,
    stderr: stderr.add,
    end() {
      const [out, err] = [stdout.end(), stderr.end()];
      return {
        /** Whether the command has begun. */
        begun: out.begun,
        stdout: out.kept,
        stderr: err.kept,
        truncated: out.truncated || err.truncated,
        /** The last characters of stderr, including output before the command began. */
        stderrTail: err.tail,
      };
    },
  };
}

interface StreamOptions {
  readonly begin: string;
  readonly maxBytes: number;
  readonly onText: (text: string) => void;
}

function createStream({ begin, maxBytes, onText }: StreamOptions) {
  const prologue = createPrologue(begin);
  // The network may split a character.
  const decoder = new StringDecoder("utf8");
  const kept: Buffer[] = [];
  let room = maxBytes;
  let truncated = false;
  let tail = "";
  const pass = (text: string) => {
    if (text === "") return;
    tail = (tail + text).slice(-TAIL_CHARACTERS);
    onText(text);
  };
  return {
    add(received: Buffer) {
      const chunk = prologue.skip(received);
      if (chunk.length > room) truncated = true;
      if (room > 0) kept.push(chunk.subarray(0, room));
      room -= Math.min(room, chunk.length);
      pass(decoder.write(chunk));
    },
    end() {
      pass(decoder.end());
      const { begun } = prologue;
      return {
        begun,
        kept: Buffer.concat(kept).toString("utf8"),
        truncated,
        tail: begun ? tail : prologue.tail(),
      };
    },
  };
}

/**
 * Creates a filter that skips everything up to a line. The line may begin anywhere in a chunk and
 * may be split between chunks.
 */
function createPrologue(end: string) {
  const wanted = Buffer.from(end);
  let held = Buffer.alloc(0);
  let begun = false;
  return {
    get begun() {
      return begun;
    },
    /**
     * @returns The part of a chunk after the line.
     */
    skip(chunk: Buffer): Buffer {
      if (begun) return chunk;
      held = Buffer.concat([held, chunk]);
      const at = held.indexOf(wanted);
      if (at >= 0) {
        begun = true;
        return held.subarray(at + wanted.length);
      }
      held = held.subarray(-Math.max(TAIL_CHARACTERS, wanted.length - 1));
      return Buffer.alloc(0);
    },
    tail: () => held.toString("utf8"),
  };
}
