import { base } from "../../tsup.base.ts";

// Shared chunks, so that a command is known as one whichever entry made it.
export default base({
  entry: ["src/index.ts", "src/gate/main.ts", "src/testing/index.ts"],
  splitting: true,
});
