import { StringDecoder } from "node:string_decoder";
import type { Scrubber } from "./secrets.ts";
import { endOfOutput } from "./step-message.ts";

/** One of the two outputs of a step's process, while a step runs. */
export interface StepOutput {
  push(chunk: Buffer): void;
  /** Writes what was held back, because more could have followed. */
  flush(): void;
  /** Resolves when the process has said that the step's output is over. */
  ended: Promise<void>;
}

/** Decodes and scrubs what comes, and looks for the end. */
export function readOutput(
  { mark, scrubber }: { mark: string; scrubber: Scrubber },
  write: (text: string) => void,
): StepOutput {
  const end = endOfOutput(mark);
  const decoder = new StringDecoder("utf8");
  const scrubbed = scrubber.stream();
  const ended = Promise.withResolvers<void>();
  let held = "";

  const pass = (text: string) => {
    if (text !== "") write(text);
  };
  return {
    ended: ended.promise,
    push(chunk) {
      const text = held + decoder.write(chunk);
      held = "";
      const at = text.lastIndexOf("\0");
      const rest = at === -1 ? "" : text.slice(at);
      if (rest === "" || !end.startsWith(rest)) return pass(scrubbed.push(text));
      pass(scrubbed.push(text.slice(0, at)));
      if (rest === end) ended.resolve();
      else held = rest;
    },
    flush() {
      pass(scrubbed.push(held + decoder.end()) + scrubbed.end());
      held = "";
    },
  };
}
