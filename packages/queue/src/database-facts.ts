import { z } from "zod";
import { instant } from "./row.ts";

export const databaseFacts = z.object({
  /** Its clock, when it answered. */
  now: instant,
  serverVersion: z.string(),
  /** Names of the migrations that it has had, sorted; `migrationNames()` has those of this package. */
  migrations: z.array(z.string()),
});
export type DatabaseFacts = z.output<typeof databaseFacts>;
