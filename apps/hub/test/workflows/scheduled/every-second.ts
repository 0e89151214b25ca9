import { cron, defineWorkflow } from "@loom/workflow";

/** Every slot gets a run, however late, and no run ever ends: nobody has what it needs. */
export const everySecond = defineWorkflow({
  name: "every-second",
  schedule: cron("* * * * * *", { overlap: "allow", missed: { all: 100 } }),
})
  .step("first", { requires: ["what-nobody-has"] }, async () => {})
  .step("second", { after: ["first"] }, async () => {});
