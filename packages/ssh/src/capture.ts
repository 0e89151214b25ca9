import { StringDecoder } from "node:string_decoder";
import type { Output } from "./run-command.ts";

const TAIL_CHARACTERS = 2_000;

/** Keeps the beginning of what a command writes, passes all of it on, and never holds more. */
export function createCapture(maxBytes: number, onOutput: (output: Output) => void) {
  const stdout = createStream(maxBytes, (text) => onOutput({ stream: "stdout", text }));
  const stderr = createStream(maxBytes, (text) => onOutput({ stream: "stderr", text }));
  return {
    stdout: stdout.add,
    stderr: stderr.add,
    end() {
      const [out, err] = [stdout.end(), stderr.end()];
      return {
        stdout: out.kept,
        stderr: err.kept,
        truncated: out.truncated || err.truncated,
        stderrTail: err.tail,
      };
    },
  };
}

function createStream(maxBytes: number, onText: (text: string) => void) {
  // A character can be cut in two by the network.
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
    add(chunk: Buffer) {
      if (chunk.length > room) truncated = true;
      if (room > 0) kept.push(chunk.subarray(0, room));
      room -= Math.min(room, chunk.length);
      pass(decoder.write(chunk));
    },
    end() {
      pass(decoder.end());
      return { kept: Buffer.concat(kept).toString("utf8"), truncated, tail };
    },
  };
}
