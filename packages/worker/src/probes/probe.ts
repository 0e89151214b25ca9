/** What a probe found. */
export type Finding =
  | {
      result: "ok";
      capabilities: readonly string[];
      /** What was seen, for people: `NVIDIA GeForce RTX 4090, driver 550.54.14`. */
      evidence: string;
    }
  | { result: "absent"; evidence: string };

/** Looks for one thing that a machine may offer. */
export interface Probe {
  name: string;
  /** How often to look again. */
  everyMs: number;
  /**
   * Looks. It is told to stop by the signal, and not waited for after that.
   *
   * @throws When it cannot tell: that is a result too.
   */
  look(signal: AbortSignal): Promise<Finding>;
}

/** What came of a probe. */
export interface ProbeReport {
  name: string;
  /** `failed`: it could not tell. `timeout`: it did not end in time. */
  result: "ok" | "absent" | "failed" | "timeout";
  capabilities: readonly string[];
  evidence: string;
  at: Date;
  tookMs: number;
  everyMs: number;
}
