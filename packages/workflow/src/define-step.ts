import { checkConcurrency } from "./concurrency.ts";
import { positiveMs } from "./duration.ts";
import { type MapOptions, toMapPolicy } from "./forms/map.ts";
import type { WaitOptions } from "./forms/wait.ts";
import type { WaitPolicy } from "./forms/wait-policy.ts";
import { lengthOf, limits } from "./limits.ts";
import { checkPreferences } from "./preference.ts";
import { type Clause, printClause } from "./requirement/clause.ts";
import { findContradiction } from "./requirement/find-contradiction.ts";
import { parseClause } from "./requirement/parse-clause.ts";
import { toRetryPolicy } from "./retry.ts";
import type { Step, StepOptions } from "./step.ts";

const NAME = /^[a-z0-9][a-z0-9-]{0,62}$/;

/** A step with one job, one that maps over a list, or one that no node runs. */
export type StepForm =
  | { form: "step"; options: StepOptions }
  | { form: "map"; options: MapOptions }
  | { form: "wait"; options: WaitOptions; wait: WaitPolicy };

/**
 * Checks a step's options and fills in the defaults.
 *
 * @param earlierSteps - The steps defined before.
 * @throws RangeError or InvalidDurationError that says what is wrong; the caller adds the place.
 */
export function defineStep(
  { name, run, ...form }: { name: string; run: Step["run"] } & StepForm,
  earlierSteps: readonly Pick<Step, "name" | "map">[],
): Step {
  checkName(name);
  const earlier = earlierSteps.map((step) => step.name);
  if (earlier.includes(name)) throw new RangeError("a step with this name exists");
  const options: StepOptions | MapOptions = form.options;
  const { after = [], requires = [], host = null, hostHint = null, prefers = [] } = options;
  const { priority = 100, maxCrashRestarts = 3, startWithin, checkpoint = null } = options;
  if (checkpoint !== null && typeof checkpoint?.safeParse !== "function") {
    throw new RangeError("checkpoint is a schema of zod for what the step keeps");
  }
  const concurrency = form.form === "step" ? (form.options.concurrency ?? null) : null;
  const unknown = after.find((other) => !earlier.includes(other));
  if (unknown !== undefined) {
    throw new RangeError(
      `after names "${unknown}", which is not an earlier step (${earlier.join(", ") || "there is none"})`,
    );
  }
  checkRequires(requires);
  if (host !== null && hostHint !== null) {
    throw new RangeError(
      "host pins the step to a node, so hostHint has no effect: remove one of them",
    );
  }
  if (typeof host === "string") checkHost("host", host);
  if (typeof hostHint === "string") checkHost("hostHint", hostHint);
  if (typeof prefers !== "function") checkPreferences(prefers);
  checkWhole("priority", priority, limits.priority);
  checkWhole("maxCrashRestarts", maxCrashRestarts, limits.crashRestarts);
  const map = form.form === "map" ? toMapPolicy(form.options, earlierSteps) : null;
  const outcome: Pick<StepOptions, "runsAfter" | "optional" | "skip" | "when"> =
    form.form === "map" ? {} : form.options;
  const { runsAfter = "success", optional = false, skip = "pass" } = outcome;
  checkOneOf("runsAfter", runsAfter, ["success", "failure", "always"]);
  checkOneOf("skip", skip, ["pass", "cascade"]);
  if (typeof optional !== "boolean") throw new RangeError("optional is true or false");
  if (runsAfter === "failure" && after.length === 0) {
    throw new RangeError(
      'runsAfter "failure" needs the steps whose failure it waits for: name them in after',
    );
  }
  const { when = null } = outcome;
  if (when !== null && typeof when !== "function") throw new RangeError("when is a function");
  if (skip === "cascade" && runsAfter !== "failure" && when === null) {
    throw new RangeError(
      'skip has no effect, because the step is never skipped without a failure: give it when or runsAfter "failure", or remove skip',
    );
  }
  if (typeof run !== "function") throw new RangeError("the run function is missing");
  return {
    name,
    after: [...new Set(map === null ? after : [...after, map.step])],
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
    runsAfter,
    optional,
    skip,
    when,
    checkpoint,
    map,
    wait: form.form === "wait" ? form.wait : null,
    run,
  };
}

function checkOneOf(option: string, value: string, values: readonly string[]): void {
  if (!values.includes(value)) {
    throw new RangeError(`${option} is ${values.map((each) => JSON.stringify(each)).join(" or ")}`);
  }
}

function checkWhole(option: string, value: number, max: number): void {
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${option} must be a whole number from 0 to ${max}`);
  }
}

/**
 * Refuses an invalid name. Names go into URLs, capabilities and row keys, so they are
 * short and plain.
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
  checkTogether(requires, null);
}

/** Refuses clauses that no node can meet together, including those of the workflow and the host. */
export function checkTogether(requires: readonly string[], host: Step["host"]): void {
  const pinned: Clause | undefined =
    typeof host === "string"
      ? { kind: "compare", key: "node", operator: "=", value: host }
      : undefined;
  const clauses = requires.map(parseClause);
  const found = findContradiction(pinned === undefined ? clauses : [...clauses, pinned]);
  if (found.length === 0) return;
  const named = found.map((clause) => (clause === pinned ? `host ${host}` : printClause(clause)));
  throw new RangeError(`no machine can meet ${named.join(" and ")} together: change one of them`);
}

/** Refuses an invalid node name, whether from an option or from a function. */
export function checkHost(option: "host" | "hostHint", host: string): void {
  if (host === "") throw new RangeError(`${option} is empty`);
  if (lengthOf(host) > limits.nodeNameLength || !/^[^\s\p{C}]+$/u.test(host)) {
    throw new RangeError(
      `${option} ${JSON.stringify(host)} is not a node name: use no spaces, and at most ${limits.nodeNameLength} characters`,
    );
  }
}
