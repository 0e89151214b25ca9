import { defineWorkflow } from "@loom/workflow";

export const endless = defineWorkflow({ name: "endless" }).step("only", {}, async () => {});

// Its import never ends.
for (;;);
