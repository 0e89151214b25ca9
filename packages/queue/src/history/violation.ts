import type { QueueEvent } from "../event.ts";

/** Something that happened and must not: the rule it breaks, in words, and where. */
export interface Violation<Name extends string = string> {
  rule: Name;
  message: string;
  jobId?: number;
  runId?: string;
  node?: string;
  /** Of the event that shows it. */
  seq?: number;
}

/** What a rule finds; its name is added from the table that lists it. */
export type Finding = Omit<Violation, "rule">;

/** A finding at one event. */
export function findingAt(event: QueueEvent, message: string): Finding {
  const { jobId, runId, node, seq } = event;
  return {
    message: `${event.type}: ${message}`,
    ...(jobId !== null && { jobId }),
    ...(runId !== null && { runId }),
    ...(node !== null && { node }),
    seq,
  };
}
