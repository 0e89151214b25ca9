import { defineWorkflow } from "@loom/workflow";

export const twoSteps = defineWorkflow({ name: "two-steps" })
  .step("first", { requires: ["has-gpu"] }, async () => {})
  .step("second", { after: ["first"], requires: ["has-gpu"] }, async () => {});
