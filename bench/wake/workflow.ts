import { defineWorkflow } from "@loom/workflow";

// The machine's monotonic clock, which all its processes share.
const now = async () => String(process.hrtime.bigint());

/** Both return when their step began. One names its node, the other goes to any node that can run it. */
export const toPinned = defineWorkflow({ name: "to-pinned" }).step("tell", { host: "forge" }, now);
export const toPlaced = defineWorkflow({ name: "to-placed" }).step(
  "tell",
  { requires: ["has-wake-server"] },
  now,
);
export const workflows = [toPinned, toPlaced];
