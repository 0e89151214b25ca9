import type { Status } from "./status.ts";

/** Options of everything that asks and can be called off. */
export interface ReadOptions {
  /** Ends the wait; the promise rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** A way to learn the state of the tailnet. */
export interface Source {
  /** Short name for logs and messages. */
  readonly name: string;
  /**
   * Reads the present state, without a cache.
   *
   * A daemon that answers "I am stopped" has answered: that is a status, not a failure.
   *
   * @throws SourceError when no usable answer came.
   */
  read(options?: ReadOptions): Promise<Status>;
}
