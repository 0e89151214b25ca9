import { hasCapabilities, hasVersion, isHost, notExcluded } from "./ability-filters.ts";
import {
  belowLimit,
  hasFreeSlot,
  isOnline,
  notDraining,
  notPaused,
} from "./availability-filters.ts";
import type { Rules } from "./rule.ts";
import { directPath, leastBusy, nearRun, notDeclined, prefers, succeededHere } from "./scorers.ts";

/** The rules that Loom places with. */
export const defaultRules: Rules = {
  filters: [
    isHost,
    hasCapabilities,
    hasVersion,
    notExcluded,
    isOnline,
    notPaused,
    notDraining,
    hasFreeSlot,
    belowLimit,
  ],
  scorers: [prefers, leastBusy, succeededHere, notDeclined, nearRun, directPath],
};
