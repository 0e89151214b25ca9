import { closeSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { createQueue, type Queue, QueueUnavailableError } from "@loom/queue";
import { clientOptions, createPostgresQueue } from "@loom/queue/postgres";
import { createClient } from "@supabase/supabase-js";
import postgres from "postgres";

/** A client's way to the queue. */
export type Route =
  | { kind: "supabase"; url: string; key: string }
  | { kind: "postgres"; port: number; database: string };

/** Shorter than the shortest lease, so that one lost answer does not end it. */
const TIMEOUT_MS = 2_000;

/** Opens the queue over one of the two transports. */
export function openQueue(route: Route): { queue: Queue; close(): Promise<void> } {
  if (route.kind === "supabase") {
    const auth = { persistSession: false, autoRefreshToken: false };
    const client = createClient(route.url, route.key, { auth });
    return { queue: createQueue({ client, timeoutMs: TIMEOUT_MS }), close: async () => {} };
  }
  const { port, database } = route;
  const sql = postgres({
    host: "127.0.0.1",
    port,
    database,
    username: "postgres",
    max: 4,
    connect_timeout: 2,
    ...clientOptions,
    onnotice: () => undefined,
  });
  return {
    queue: createPostgresQueue({ sql, timeoutMs: TIMEOUT_MS }),
    close: () => sql.end({ timeout: 1 }),
  };
}

const MIN_PAUSE_MS = 10;
const MAX_PAUSE_MS = 400;

/** Repeats a call until it gets an answer, as every client of the queue does. */
export async function persist<Answer>(
  call: () => Promise<Answer>,
  signal?: AbortSignal,
): Promise<Answer> {
  for (let pauseMs = MIN_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS)) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof QueueUnavailableError)) throw error;
      await sleep(pauseMs, undefined, signal ? { signal } : {});
    }
  }
}

/** One call, as the client saw it. */
export interface LoggedCall {
  /** The process, or the part of this one, that made the call. */
  caller: string;
  method: keyof Queue;
  args: readonly unknown[];
  /** Milliseconds since 1970, by this machine's clock. */
  startedAt: number;
  /** Null when the process was killed before an answer came. */
  endedAt: number | null;
  answer?: unknown;
  /** Code and message of the error that the call ended with. */
  error?: { code: string; message: string };
}

/** Methods that change nothing: there is nothing to check about them. */
const UNLOGGED = new Set<PropertyKey>(["listWaiting", "listNodes", "readEvents", "verify"]);

type Line = Partial<LoggedCall> & { id: number };

/**
 * Wraps a queue so that every call is written to a file: one line when it starts and one when it ends.
 * Lines are written at once, so a killed process leaves a trace of the calls that it had started.
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

/** Reads every call that was logged in a folder, ordered by start. */
export function readCalls(folder: string): LoggedCall[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".ndjson"))
    .flatMap((name) => readFile(join(folder, name)))
    .sort((a, b) => a.startedAt - b.startedAt);
}

function readFile(file: string): LoggedCall[] {
  const calls = new Map<number, LoggedCall>();
  // The last element is a line that its writer did not finish, or empty.
  for (const text of readFileSync(file, "utf8").split("\n").slice(0, -1)) {
    const { id, ...line } = JSON.parse(text) as Line;
    const started = calls.get(id);
    calls.set(id, { ...started, endedAt: null, ...line } as LoggedCall);
  }
  return [...calls.values()];
}
