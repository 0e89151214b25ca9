import { suggestNames } from "@loom/did-you-mean";
import type { Hook } from "@loom/queue";
import { type Check, countOf, warn } from "./check.ts";

/** A message that was not tried for so long waits behind another one. */
const LATE_MS = 5 * 60_000;

/**
 * The messages of hooks arrive, and the hooks that workflows name exist. What a target answered may tell its address, so it
 * is not repeated here.
 */
export const hooks: Check = ({ hooks: all, namedHooks, database }) => {
  const names = all.map(({ name }) => name);
  const missing = [...namedHooks].flatMap(([name, workflows]) => {
    if (names.includes(name)) return [];
    const [near] = suggestNames(name, names);
    return [
      warn(
        name,
        `${workflows.join(", ")} ${workflows.length === 1 ? "notifies" : "notify"} this hook, and there is none: nobody gets the messages`,
        near === undefined
          ? `loom hook add ${name} makes it; or take it out of notify`
          : `name ${near} in notify, or make it: loom hook add ${name}`,
      ),
    ];
  });
  const enabled = all.filter((hook) => hook.enabled);
  const findings = enabled.flatMap((hook) => {
    const problem = problemOf(hook, database.now);
    if (problem === undefined) return [];
    const dropped = hook.dropped > 0 ? `; ${hook.dropped} were dropped` : "";
    return [
      warn(
        hook.name,
        `${problem}${dropped}`,
        `loom hook deliveries ${hook.name} says why; loom hook test ${hook.name} tries it`,
      ),
    ];
  });
  return {
    ok: `${countOf(enabled.length, "hook")}, and the last messages arrived`,
    findings: [...missing, ...findings],
  };
};

function problemOf({ lastDelivery: last, pending }: Hook, now: Date): string | undefined {
  if (!last) return undefined;
  const { state, rule, attempts, error, createdAt } = last;
  if (state === "failed") {
    return `its last message (${rule}) was given up after ${countOf(attempts, "attempt")}`;
  }
  if (state === "pending" && error !== null) {
    return `its last message (${rule}) has not arrived after ${countOf(attempts, "attempt")}, and is tried again`;
  }
  if (state === "pending" && now.getTime() - createdAt.getTime() > LATE_MS) {
    return `${countOf(pending, "message")} cannot be sent`;
  }
  return undefined;
}
