import type { Check } from "../check.ts";
import { stuckFor } from "../stuck-for.ts";

/** Every job's requirements are met by a node, if it is pinned by that one. */
export const capabilities: Check = {
  name: "capabilities",
  examine: (facts) => ({
    ok: "every job that waits has a node that could run it",
    findings: stuckFor(["no_capable_node"], facts),
  }),
};
