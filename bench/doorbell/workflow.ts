import { defineWorkflow } from "@loom/workflow";

// The machine's monotonic clock, which all its processes share.
const now = async () => String(process.hrtime.bigint());

/** Tell when they began: one goes to the node that is named, one to any that can. */
export const toPinned = defineWorkflow({ name: "to-pinned" }).step("tell", { host: "forge" }, now);
export const toPlaced = defineWorkflow({ name: "to-placed" }).step(
  "tell",
  { requires: ["has-bell"] },
  now,
);
export const workflows = [toPinned, toPlaced];
