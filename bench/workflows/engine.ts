import type { Database } from "@loom/local-db";

/** A workflow engine to measure, on its own database, with its worker in this process. */
export interface EngineKind {
  readonly name: string;
  /** @param onLastStep - To be called by the last step of a run, with the number that its run got. */
  open(database: Database, onLastStep: (run: number) => void): Promise<Engine>;
}

export interface Engine {
  /** Starts a run of three steps. Resolves when it is stored. */
  start(run: number): Promise<void>;
  /**
   * Reads how long each run took, in milliseconds, in the order of their starts: by the database's
   * times of its start and of its end. Null if it has not ended.
   */
  durations(): Promise<(number | null)[]>;
  close(): Promise<void>;
}

/** How many runs are in flight at once, and how many steps a worker may run. */
export const IN_FLIGHT = 24;

/** The connections of an engine. Each of them would open as many by default, or fewer. */
export const CONNECTIONS = 10;

/** What each step returns to the next. */
export const stepResult = (run: number) => ({ run, text: "x".repeat(40) });
