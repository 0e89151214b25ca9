import { base } from "../../tsup.base.ts";

// Shared chunks, so that an error class is the same one whichever entry threw it.
export default base({
  target: "node20.9",
  entry: [
    "src/index.ts",
    "src/duration.ts",
    "src/history/event-types.ts",
    "src/notify/hook-rules.ts",
    "src/exec/command.ts",
    "src/testing/index.ts",
  ],
  splitting: true,
});
