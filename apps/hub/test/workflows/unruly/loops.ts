import { cron, defineWorkflow } from "@loom/workflow";

/** Due every second, and its host function never returns. */
export const loops = defineWorkflow({ name: "loops", schedule: cron("* * * * * *") }).step(
  "only",
  {
    host: () => {
      for (;;);
    },
  },
  async () => {},
);
