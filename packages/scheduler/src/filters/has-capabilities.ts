import { type Filter, fits } from "../filter.ts";
import { capabilitiesOf } from "../node-view.ts";
import { unmetClauses } from "../requirement/evaluate.ts";

/** Keeps nodes that meet every clause the step requires. */
export const hasCapabilities: Filter = {
  name: "has-capabilities",
  about: "ability",
  check({ requires }, node) {
    const missing = unmetClauses(requires, capabilitiesOf(node));
    return missing.length === 0
      ? fits
      : { fits: false, code: "missing_capability", reason: `lacks ${missing.join(", ")}`, missing };
  },
};
