import { type Duration, parseDuration } from "../duration.ts";

/** For how long finished runs of a workflow are kept. What is left out is up to the hub (`LOOM_RETENTION`). */
export interface Retention {
  /** Runs that succeeded: `"3d"`. */
  readonly succeeded?: Duration;
  /** Runs that failed or were cancelled: `"90d"`. */
  readonly failed?: Duration;
}

/** The same in milliseconds; null: up to the hub. */
export interface RetentionPolicy {
  readonly succeededMs: number | null;
  readonly failedMs: number | null;
}

const MIN = "1h";
const MAX = "36500d";

/**
 * Checks for how long runs are kept.
 *
 * @throws RangeError or InvalidDurationError that says what is wrong; the caller adds the place.
 */
export function toRetentionPolicy(retention: Retention | Duration): RetentionPolicy {
  if (typeof retention === "string") {
    const ms = toMs("retention", retention);
    return { succeededMs: ms, failedMs: ms };
  }
  const unknown = Object.keys(Object(retention)).find(
    (name) => name !== "succeeded" && name !== "failed",
  );
  if (typeof retention !== "object" || retention === null || unknown !== undefined) {
    const what = unknown === undefined ? "" : `, and no ${unknown}`;
    throw new RangeError(
      `retention is a duration such as "30d", or has succeeded, failed or both${what}`,
    );
  }
  const { succeeded, failed } = retention;
  if (succeeded === undefined && failed === undefined) {
    throw new RangeError("retention is empty: say how long succeeded or failed runs are kept");
  }
  return {
    succeededMs: succeeded === undefined ? null : toMs("retention.succeeded", succeeded),
    failedMs: failed === undefined ? null : toMs("retention.failed", failed),
  };
}

function toMs(option: string, duration: Duration): number {
  let ms: number;
  try {
    ms = parseDuration(duration);
  } catch (cause) {
    throw new RangeError(`${option}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
  if (ms < parseDuration(MIN) || ms > parseDuration(MAX)) {
    throw new RangeError(`${option} is from "${MIN}" to "${MAX}", not ${JSON.stringify(duration)}`);
  }
  return ms;
}
