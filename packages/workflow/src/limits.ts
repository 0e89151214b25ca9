/**
 * Every limit that more than one part of Loom keeps, each in one place and one measure.
 *
 * The checks at import time, the SQL functions (as `public.loom_limit('input_bytes')`), the API's schema
 * and the docs take them from here. Bytes are those of the stored form: JSON as `JSON.stringify` writes
 * it, a clause as `printClause` writes it, in UTF-8. Characters are code points, as Postgres and JSON
 * Schema count them; see {@link lengthOf}.
 */
export const limits = {
  /** The input of a run or of a job, as JSON. */
  inputBytes: 262_144,
  /** The result of one step, as JSON. */
  resultBytes: 1_048_576,
  /** The results that one step reads, together. */
  resultsBytes: 4_194_304,
  /** The results and errors in an answer about a run, together; the smallest come first. */
  runBytes: 4_194_304,
  /** The jobs of one claim, together. A claim always brings at least one job. */
  claimBytes: 4_194_304,
  /** The checkpoint of a step, as JSON. */
  checkpointBytes: 262_144,
  /** The error of a failed attempt, as JSON. */
  errorBytes: 65_536,
  /** The nesting of an input or a result. Printing deeper values overflows the stack. */
  jsonDepth: 100,
  /** The output of one attempt. */
  logBytes: 10_485_760,
  /** One chunk of a log. */
  logChunkBytes: 262_144,
  /** Chunks of a log in one call. Each is a row, and an agent sends one at a time. */
  logChunksPerCall: 40,
  /** A file that a step or a person stores. */
  fileBytes: 5_368_709_120,
  /** The name of a file, in UTF-8. */
  fileNameBytes: 255,
  /** One part of an upload: what arrives within the time of a request, and the least that S3 takes. */
  filePartBytes: 5_242_880,
  filesPerRun: 10_000,
  /** Uploads of one attempt that are not finished. */
  uploadsPerAttempt: 32,
  /** A folder that `loom exec` sends or brings back: its files, folders and links, and the bytes of its files. */
  archiveEntries: 100_000,
  archiveBytes: 10_737_418_240,
  /** Paths that one command brings back. */
  execOutputs: 50,
  /** The body of a request to the hub. */
  bodyBytes: 1_048_576,

  /** A requirement or a preference, in its printed form. */
  clauseLength: 200,
  /** Requirements of a job, including the one for its workflow's version. */
  requirements: 64,
  /** Preferences of a job. */
  preferences: 100,
  /** The name of a workflow, a step or a token; a version. Names of Loom itself are shorter. */
  nameLength: 100,
  /** Steps of a run. */
  steps: 10_000,
  /** Items of a list that a step maps over. */
  mapItems: 10_000,
  /** The name of a node. */
  nodeNameLength: 63,
  /** The key of a run or a job, and an `Idempotency-Key`. */
  keyLength: 300,
  concurrencyKeyLength: 200,
  concurrencyLimit: 10_000,
  priority: 1_000,
  attempts: 1_000,
  crashRestarts: 100,
  /** Timeouts and backoff delays: the longest timer that Node can set, 24.8 days. */
  timerMs: 2_147_483_647,
  /** The longest delay of a job, and the longest pause of a node: a year. */
  delayMs: 31_536_000_000,

  /** Jobs that are added in one call. */
  jobsPerCall: 1_000,
  /** Outcomes that are settled in one call. */
  settlementsPerCall: 500,

  /** Hooks of a hub, and deliveries of a hook that are still to be sent. */
  hooks: 50,
  hookBacklog: 1_000,
  /** How long a step waits before a hook that says no other time is notified. */
  hookWaitMs: 1_800_000,
  /** Commands of one array of `loom exec`. */
  execArray: 1_000,
  /** How long after its request a command may begin: a week. */
  execBeginMs: 604_800_000,
  /** Conditions of steps that are taken or recorded in one call. */
  conditionsPerCall: 100,
  /** How often a condition that cannot be evaluated is tried, before its step fails. */
  conditionTries: 10,

  /** Signals that are kept for steps to come: of an event, in all, and how long. */
  signalsOfEvent: 1_000,
  signals: 10_000,
  signalKeepMs: 604_800_000,
  /** The longest sleep, and the longest wait for a signal or a person: a year. */
  waitMs: 31_536_000_000,
  /** What an approval shows, as JSON. */
  shownBytes: 65_536,
  /** The title of an approval, and who may decide it. */
  titleLength: 200,
  approvers: 50,

  /** Slots of a node. */
  slots: 10_000,
  /** Capabilities of a node, and the length of one. */
  capabilities: 1_000,
  capabilityLength: 200,
  /** The facts that a node reports besides its capabilities, as JSON. */
  factsBytes: 65_536,
  /**
   * Events that a node may cause in a minute by itself, with all its keys: hellos, pauses, changes of a key or of what it
   * offers, settlements that are refused.
   */
  keyEventsPerMinute: 60,
  /** A note of a pause, and the reason why a job waits. */
  noteLength: 2_000,
} as const;

/**
 * Returns the length of a text in code points: one measure for TypeScript, Postgres and JSON
 * Schema.
 */
export function lengthOf(text: string): number {
  let length = 0;
  for (const _ of text) length += 1;
  return length;
}
