import { base } from "../../tsup.base.ts";

// The programs of processes that run authors' code are found beside the index: all in one folder.
export default base({
  entry: {
    index: "src/index.ts",
    "step-main": "src/step-process/step-main.ts",
    watchdog: "src/step-process/watchdog.ts",
    "planner-main": "src/planner/planner-main.ts",
  },
  splitting: true,
});
