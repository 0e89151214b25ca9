import { base } from "../../tsup.base.ts";

// Shared chunks, so that an error class is the same one whichever entry threw it.
export default base({
  entry: [
    "src/index.ts",
    "src/transport/http.ts",
    "src/transport/postgres.ts",
    "src/testing/index.ts",
    "src/testing/verify/index.ts",
  ],
  splitting: true,
});
