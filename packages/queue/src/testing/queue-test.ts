import type { Database } from "@loom/local-db";
import type { Queue } from "../queue.ts";

/** The fixtures of a contract test: a queue, and the empty database behind it. */
export interface QueueFixtures {
  queue: Queue;
  database: Database;
}

/** The part of Vitest's `test` that the contract needs; every `test` with these fixtures fits. */
export interface QueueTest {
  (title: string, run: (fixtures: QueueFixtures) => Promise<void>): void;
  (
    title: string,
    options: { timeout: number },
    run: (fixtures: QueueFixtures) => Promise<void>,
  ): void;
  for<Case>(
    cases: readonly Case[],
  ): (title: string, run: (each: Case, fixtures: QueueFixtures) => Promise<void>) => void;
  afterEach(run: (fixtures: QueueFixtures) => Promise<void>): void;
}
