import { defineWorkflow } from "@loom/workflow";

export const exits = defineWorkflow({ name: "exits" }).step("only", {}, async () => {});

process.exit(0);
