// A module whose import fails the first time, where a test says by which file it knows that.
import { existsSync, writeFileSync } from "node:fs";
import { defineWorkflow } from "@loom/workflow";

const { MOOD_FILE } = process.env;
if (MOOD_FILE !== undefined && !existsSync(MOOD_FILE)) {
  writeFileSync(MOOD_FILE, "");
  throw new Error("the module is not in the mood");
}

export const moody = defineWorkflow({ name: "moody" }).step("work", {}, async () => "done");
