import { base } from "../../tsup.base.ts";

// Shared chunks, so that an error class is the same one whichever entry threw it.
export default base({ entry: ["src/index.ts", "src/testing/index.ts"], splitting: true });
