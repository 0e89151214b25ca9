import { migrationNames, QueueUnavailableError } from "@loom/queue";
import { createHttpQueue } from "@loom/queue/http";
import type { SupabaseSettings } from "./settings.ts";

/**
 * Asks a Supabase project whether it is there and up to date.
 *
 * @throws Error that says what to do: the project cannot be reached, refuses the key or lacks migrations.
 */
export async function checkProject({ url, key }: SupabaseSettings): Promise<void> {
  const { migrations } = await createHttpQueue({ url, key })
    .describeDatabase()
    .catch((error: Error) => {
      if (!(error instanceof QueueUnavailableError)) throw error;
      throw new Error(
        `The project at SUPABASE_URL (${url}) cannot be reached: ${error.message}. Check the address, and that the project is not paused.`,
        { cause: error },
      );
    });
  const missing = (await migrationNames()).filter((name) => !migrations.includes(name));
  if (missing.length > 0) {
    throw new Error(
      `The project at SUPABASE_URL lacks ${missing.join(", ")}. Apply the migrations with \`npm run hub migrate\` and DATABASE_URL, or paste the output of \`npm run hub sql\` into the SQL editor.`,
    );
  }
}
