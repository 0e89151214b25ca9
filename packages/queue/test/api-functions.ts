import { readFileSync } from "node:fs";

/** The SQL functions that the client calls. */
export const apiFunctions: readonly string[] = [
  ...new Set(
    readFileSync(new URL("../src/create-queue.ts", import.meta.url), "utf8").match(
      /(?<=")loom_[a-z_]+(?=",)/g,
    ),
  ),
];
