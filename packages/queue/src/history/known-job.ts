/** What the history does not say of a job: from the caller's own list, or from its row. */
export interface KnownJob {
  id: number;
  runId?: string | null;
  step?: string;
  /** The steps of the same run that it needs. */
  after?: readonly string[];
  concurrencyKey?: string | null;
  concurrencyLimit?: number | null;
  maxCrashRestarts?: number;
  /** Of its row, after the last event. */
  state?: string;
}
