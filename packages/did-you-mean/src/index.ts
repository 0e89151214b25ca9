export { suggestNames } from "./suggest-names.ts";
