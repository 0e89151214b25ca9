import { base } from "../../tsup.base.ts";

// The programs of a step's process are found beside the index: all in one folder.
export default base({
  entry: ["src/index.ts", "src/step-main.ts", "src/watchdog.ts"],
  splitting: true,
});
