import { base } from "../../tsup.base.ts";

// The entries share chunks, so that an error class is the same in all of them.
export default base({
  target: "node20.9",
  entry: ["src/index.ts", "src/testing/index.ts"],
  splitting: true,
});
