import { base } from "../../tsup.base.ts";

export default base({ entry: ["src/main.ts"] });
