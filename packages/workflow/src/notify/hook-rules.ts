/**
 * What a hook can send messages about. This is the only list: the database, the API, the programs and workflow definitions
 * take it from here.
 */
export const hookRules = [
  "run.failed",
  "run.recovered",
  "step.waiting",
  "approval.asked",
  "node.lost",
  "schedule.missed",
] as const;
export type HookRule = (typeof hookRules)[number];
