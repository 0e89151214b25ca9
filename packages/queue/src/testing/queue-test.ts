import type { Database } from "@loom/local-db";
import type { Queue } from "../queue.ts";

/** What a test of the contract is given: a queue, and the database behind it, which is empty. */
export interface QueueFixtures {
  queue: Queue;
  database: Database;
}

/** What the contract needs of Vitest's `test`; every `test` with these fixtures fits. */
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
