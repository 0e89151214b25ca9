import { base } from "../../tsup.base.ts";

// The entries share chunks, so that a command of one entry is valid in the others.
export default base({
  entry: ["src/index.ts", "src/gate/main.ts", "src/testing/index.ts"],
  splitting: true,
});
