import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const sources = globSync("{*,access/*,exchange/*,files/*,forms/*,history/*,hooks/*}.ts", {
  cwd: fileURLToPath(new URL("../src", import.meta.url)),
  exclude: ["**/*.test.ts"],
});

/** The SQL functions that the client calls. */
export const apiFunctions: readonly string[] = [
  ...new Set(
    sources.flatMap(
      (file) =>
        readFileSync(new URL(`../src/${file}`, import.meta.url), "utf8").match(
          /(?<=")loom_[a-z_]+(?=",)/g,
        ) ?? [],
    ),
  ),
];
