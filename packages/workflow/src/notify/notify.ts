import { type HookRule, hookRules } from "./hook-rules.ts";

/** A rule that concerns workflows. */
type WorkflowRule = Exclude<HookRule, "node.lost">;

/** Which hooks are notified of what: `{ "run.failed": "ops", "approval.asked": ["ops", "phone"] }`. */
export type Notify = { readonly [Rule in WorkflowRule]?: string | readonly string[] };

/** The same, each with a list of hooks; null: nothing is said. */
export type NotifyPolicy = { readonly [Rule in WorkflowRule]?: readonly string[] };

/** What a hook may be called. */
const HOOK_NAME = /^[a-z0-9][a-z0-9._-]{0,62}$/;
const MOST = 10;

const rules = hookRules.filter((rule): rule is WorkflowRule => rule !== "node.lost");

/**
 * Checks who is notified of what. Whether the hooks exist is not known here: a hook may be made later.
 *
 * @throws RangeError that says what is wrong; the caller adds the place.
 */
export function toNotifyPolicy(notify: Notify): NotifyPolicy {
  if (typeof notify !== "object" || notify === null || Array.isArray(notify)) {
    throw new RangeError('notify has hooks by rule, as in { "run.failed": "ops" }');
  }
  const given = Object.entries(notify).filter(([, hooks]) => hooks !== undefined);
  return Object.fromEntries(
    given.map(([rule, hooks]) => {
      if (rule === "node.lost") {
        throw new RangeError("notify: node.lost concerns no workflow; give the hook this rule");
      }
      if (!rules.some((known) => known === rule)) {
        throw new RangeError(
          `notify: there is no rule ${JSON.stringify(rule)}; there are ${rules.join(", ")}`,
        );
      }
      return [rule, toNames(rule, hooks)];
    }),
  );
}

function toNames(rule: string, hooks: unknown): string[] {
  const names: unknown[] = Array.isArray(hooks) ? hooks : [hooks];
  if (names.length === 0 || names.length > MOST) {
    throw new RangeError(`notify of ${rule} names 1 to ${MOST} hooks, not ${names.length}`);
  }
  for (const name of names) {
    if (typeof name !== "string" || !HOOK_NAME.test(name)) {
      throw new RangeError(
        `notify of ${rule} names a hook with 1 to 63 of a-z, 0-9, ".", "_" and "-", not ${JSON.stringify(name)}`,
      );
    }
  }
  return [...new Set(names as string[])];
}
