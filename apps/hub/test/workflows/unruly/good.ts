import { defineWorkflow } from "@loom/workflow";

export const good = defineWorkflow({ name: "good" }).step("only", {}, async () => "done");
