import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Queue } from "@loom/queue";

/** One call of a client, as its side of the wire saw it. */
export interface LoggedCall {
  /** Which process, or which part of this one, made it. */
  caller: string;
  method: keyof Queue;
  args: readonly unknown[];
  /** Milliseconds since 1970, of this machine's one clock. */
  startedAt: number;
  /** Null: its process was killed before an answer came. */
  endedAt: number | null;
  answer?: unknown;
  /** Code and message of the error that it ended with. */
  error?: { code: string; message: string };
}

/** They change nothing, so nothing can be checked of them. */
const UNLOGGED = new Set<PropertyKey>(["listWaiting", "listNodes", "readEvents", "verify"]);

type Line = Partial<LoggedCall> & { id: number };

/**
 * The same queue, which writes every call to a file: a line when it starts and one when it ends,
 * each at once, so that a killed process leaves what it had begun.
 */
export function logCalls(
  queue: Queue,
  { file, caller }: { file: string; caller: string },
): { queue: Queue; close(): void } {
  const log = openSync(file, "a");
  let calls = 0;
  const write = (line: Line) => writeSync(log, `${JSON.stringify(line)}\n`);
  const logged = new Proxy(queue, {
    get(target, method: keyof Queue) {
      const call = target[method] as (...args: unknown[]) => Promise<unknown>;
      if (UNLOGGED.has(method)) return call;
      return async (...args: unknown[]) => {
        calls += 1;
        const id = calls;
        write({ id, caller, method, args, startedAt: now() });
        try {
          const answer = await call(...args);
          write({ id, endedAt: now(), answer });
          return answer;
        } catch (cause) {
          const { code, message } = cause as Error & { code?: string };
          write({ id, endedAt: now(), error: { code: code ?? "", message } });
          throw cause;
        }
      };
    },
  });
  return { queue: logged, close: () => closeSync(log) };
}

const now = () => performance.timeOrigin + performance.now();

/** Every call that was logged in a folder, by when it started. */
export function readCalls(folder: string): LoggedCall[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".ndjson"))
    .flatMap((name) => readFile(join(folder, name)))
    .sort((a, b) => a.startedAt - b.startedAt);
}

function readFile(file: string): LoggedCall[] {
  const calls = new Map<number, LoggedCall>();
  // What stands behind the last line's end was cut off with its writer.
  for (const text of readFileSync(file, "utf8").split("\n").slice(0, -1)) {
    const { id, ...line } = JSON.parse(text) as Line;
    const begun = calls.get(id);
    calls.set(id, { ...begun, endedAt: null, ...line } as LoggedCall);
  }
  return [...calls.values()];
}
