import { base } from "../../tsup.base.ts";

export default base({ entry: { index: "src/index.ts", "bundle/index": "src/bundle/index.ts" } });
