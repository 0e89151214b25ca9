import type { Queue } from "../queue.ts";

const METHODS = ["hello", "claim", "settle", "enqueue", "startRun", "getJob", "getRun"] as const;
type Method = (typeof METHODS)[number];

/** A call as its client saw it. */
interface Recorded<Name extends Method> {
  method: Name;
  args: Parameters<Queue[Name]>;
  /** Null: it failed, or its answer was lost. */
  answer: Awaited<ReturnType<Queue[Name]>> | null;
  /** Milliseconds, of one clock for all calls. */
  startedAt: number;
  endedAt: number;
}

export type RecordedCall = { [Name in Method]: Recorded<Name> }[Method];

/** A call whose answer came. */
type Answered<Name extends Method> = Recorded<Name> & { answer: Awaited<ReturnType<Queue[Name]>> };

/** The calls of one method whose answers came, in the order in which they began. */
export function answered<Name extends Method>(
  calls: readonly RecordedCall[],
  method: Name,
): Answered<Name>[] {
  return calls
    .filter((call) => call.method === method && call.answer !== null)
    .toSorted((a, b) => a.startedAt - b.startedAt) as unknown as Answered<Name>[];
}

const now = (): number => performance.timeOrigin + performance.now();

/** The same queue; what `verifyCalls` looks at is recorded when it ends. */
export function recordCalls(queue: Queue, record: (call: RecordedCall) => void): Queue {
  const recording = { ...queue };
  for (const method of METHODS) {
    const call = queue[method] as (...args: unknown[]) => Promise<unknown>;
    const watched = async (...args: unknown[]): Promise<unknown> => {
      const startedAt = now();
      let answer: unknown = null;
      try {
        answer = await call(...args);
        return answer;
      } finally {
        // Arguments and answer are those of the method, whichever it is.
        record({ method, args, answer, startedAt, endedAt: now() } as RecordedCall);
      }
    };
    Object.assign(recording, { [method]: watched });
  }
  return recording;
}
