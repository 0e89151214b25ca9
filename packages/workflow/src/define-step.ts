import { checkConcurrency } from "./concurrency.ts";
import { positiveMs } from "./duration.ts";
import { checkPreferences } from "./preference.ts";
import { parseClause } from "./requirement/parse-clause.ts";
import { toRetryPolicy } from "./retry.ts";
import type { Step, StepOptions } from "./step.ts";

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;
const MAX_PRIORITY = 1_000;
const MAX_CRASH_RESTARTS = 100;

/**
 * Checks a step's options and fills in the defaults.
 *
 * @param earlier - Names of the steps defined before.
 * @throws RangeError or InvalidDurationError with what is wrong; the caller knows the place.
 */
export function defineStep(
  { name, options, run }: { name: string; options: StepOptions; run: Step["run"] },
  earlier: readonly string[],
): Step {
  checkName(name);
  if (earlier.includes(name)) throw new RangeError("a step with this name exists");
  const { after = [], requires = [], host = null, hostHint = null, prefers = [] } = options;
  const { priority = 100, maxCrashRestarts = 3, startWithin, concurrency = null } = options;
  const unknown = after.find((other) => !earlier.includes(other));
  if (unknown !== undefined) {
    throw new RangeError(
      `after names "${unknown}", which is no earlier step (${earlier.join(", ") || "there is none"})`,
    );
  }
  checkRequires(requires);
  if (host !== null && hostHint !== null) {
    throw new RangeError("host pins the step to a node, so a hostHint beside it says nothing");
  }
  if (typeof host === "string") checkHost("host", host);
  if (typeof hostHint === "string") checkHost("hostHint", hostHint);
  if (typeof prefers !== "function") checkPreferences(prefers);
  checkWhole("priority", priority, MAX_PRIORITY);
  checkWhole("maxCrashRestarts", maxCrashRestarts, MAX_CRASH_RESTARTS);
  if (typeof run !== "function") throw new RangeError("the run function is missing");
  return {
    name,
    after: [...new Set(after)],
    requires: [...requires],
    host,
    hostHint,
    prefers: typeof prefers === "function" ? prefers : [...prefers],
    timeoutMs: positiveMs("timeout", options.timeout ?? "10m"),
    retry: toRetryPolicy(options.retry),
    maxCrashRestarts,
    startWithinMs: startWithin === undefined ? null : positiveMs("startWithin", startWithin),
    concurrency:
      concurrency === null || typeof concurrency === "function"
        ? concurrency
        : checkConcurrency(concurrency),
    priority,
    run,
  };
}

function checkWhole(option: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${option} must be a whole number from 0 to ${max}`);
  }
}

/**
 * Refuses what is no name: names go into URLs, capabilities and row keys, so they
 * are short and plain.
 */
export function checkName(name: string): void {
  if (!NAME.test(name)) {
    throw new RangeError(
      `"${name}" is not a name; use 1 to 63 of a-z, 0-9 and "-", not starting with "-"`,
    );
  }
}

export function checkRequires(requires: readonly string[]): void {
  for (const clause of requires) parseClause(clause);
}

/** Refuses what is no name of a node, in an option or from a function. */
export function checkHost(option: "host" | "hostHint", host: string): void {
  if (host === "") throw new RangeError(`${option} is empty`);
  if (!/^[^\s\p{C}]{1,200}$/u.test(host)) {
    throw new RangeError(
      `${option} ${JSON.stringify(host)} is no name of a node: those have no spaces, and at most 200 characters`,
    );
  }
}
