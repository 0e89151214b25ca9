import { base } from "../../tsup.base.ts";

// The testing entry takes the queue from its package: built in, it would look for the
// SQL files next to itself.
export default base({
  entry: ["src/index.ts", "src/testing/index.ts"],
  external: ["@loom/queue"],
});
