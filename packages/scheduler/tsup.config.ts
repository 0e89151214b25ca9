import { base } from "../../tsup.base.ts";

export default base({ target: "node20.9" });
