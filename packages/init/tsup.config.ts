import { base } from "../../tsup.base.ts";

export default base({ target: "node22.18" });
