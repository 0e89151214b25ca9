import type { NotifyPolicy } from "@loom/workflow";
import { type HookRule, hookRules } from "@loom/workflow/hook-rules";
import { z } from "zod";
import type { Call } from "../transport/call.ts";
import { instant, row, rows } from "../transport/rows.ts";
import { delivery } from "./deliveries.ts";

const hook = z.object({
  name: z.string(),
  rules: z.array(z.enum(hookRules)),
  /** Empty: every workflow. */
  workflows: z.array(z.string()),
  waitingMs: z.int().nullable(),
  /** What the hub lets callers see of the target. */
  target: z.record(z.string(), z.unknown()),
  enabled: z.boolean(),
  /** Occurrences without a delivery, because too many were pending. */
  dropped: z.int(),
  pending: z.int(),
  createdBy: z.string(),
  createdAt: instant,
  lastDelivery: row(delivery).nullable(),
});
const syncedNotify = z.object({
  answer: z.enum(["written", "deposed"]),
  missing: z.array(z.object({ hook: z.string(), workflows: z.array(z.string()) })),
});

/** Who is notified of what. */
export type Hook = z.output<typeof hook>;

/** What a hook says besides its name. */
export interface HookSettings {
  rules: readonly HookRule[];
  workflows: readonly string[];
  /** For `step.waiting`, and null without it: 1 minute to 7 days. */
  waitingMs: number | null;
  enabled: boolean;
}

/** A target: the part that callers may see, and all of it in a form that only hubs can read. */
export interface HookTarget {
  shown: Readonly<Record<string, unknown>>;
  sealed: string;
}

/** The hooks of the hubs. */
export interface Hooks {
  /** Lists hooks by name. @see sql/hooks.sql */
  listHooks(): Promise<Hook[]>;
  /**
   * Adds a hook.
   *
   * @throws QueueRequestError `HOOK_NAME_TAKEN`, `TOO_MANY_HOOKS`, `INVALID_ARGUMENT`.
   * @see sql/hooks.sql
   */
  createHook(
    hook: HookSettings & { name: string; target: HookTarget; createdBy: string },
  ): Promise<Hook>;
  /** Changes a hook. Without a target, that stays. Null if the hook does not exist. @see sql/hooks.sql */
  changeHook(name: string, hook: HookSettings & { target?: HookTarget }): Promise<Hook | null>;
  /** Removes a hook with its deliveries. Null if it does not exist. @see sql/hooks.sql */
  removeHook(name: string): Promise<Hook | null>;
  /**
   * Stores whom the workflows of the leading hub notify. A workflow that is left out keeps what it said.
   *
   * @returns The hooks that do not exist, each with the workflows that name it.
   * @see sql/hooks.sql
   */
  syncNotify(
    said: readonly { workflow: string; notify: NotifyPolicy | null }[],
    epoch: number,
  ): Promise<z.output<typeof syncedNotify>>;
}

export const hooks = (call: Call): Hooks => ({
  listHooks: () => call("loom_list_hooks", {}, rows(hook)),

  createHook: ({ name, target, createdBy, enabled, ...settings }) =>
    call(
      "loom_create_hook",
      {
        p_name: name,
        p_target: target.shown,
        p_sealed: target.sealed,
        p_created_by: createdBy,
        p_enabled: enabled,
        ...toRow(settings),
      },
      row(hook),
    ),

  changeHook: (name, { target, enabled, ...settings }) =>
    call(
      "loom_change_hook",
      {
        p_name: name,
        p_enabled: enabled,
        p_target: target?.shown ?? null,
        p_sealed: target?.sealed ?? null,
        ...toRow(settings),
      },
      row(hook).nullable(),
    ),

  removeHook: (name) => call("loom_remove_hook", { p_name: name }, row(hook).nullable()),

  syncNotify: (said, epoch) => {
    const items = said.map(({ workflow, notify }) => ({ workflow, rules: notify }));
    return call("loom_sync_notify", { p_notify: items, p_epoch: epoch }, syncedNotify);
  },
});

const toRow = ({ rules, workflows, waitingMs }: Omit<HookSettings, "enabled">) => ({
  p_rules: rules,
  p_workflows: workflows,
  p_waiting_ms: waitingMs,
});
