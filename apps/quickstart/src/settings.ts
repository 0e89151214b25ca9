import { mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { defaultDataDir } from "@loom/local-db";
import { keepToken } from "@loom/program";

export interface Settings {
  dataDir: string;
  token: string;
  /** The file that keeps the token; undefined when the environment gave it. */
  tokenFile: string | undefined;
  /** The Supabase project to use instead of the embedded database. */
  supabase: SupabaseSettings | undefined;
}

export interface SupabaseSettings {
  url: string;
  key: string;
  /** The key with which agents reach the project, each with a key of its own beside it. */
  publishableKey: string | undefined;
}

/**
 * Reads the environment; makes the token that it does not give.
 *
 * @throws Error that says which variable is wrong or missing.
 */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const supabase = readSupabase(env);
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const dataDir = env.LOOM_DATA_DIR ? path.resolve(env.LOOM_DATA_DIR) : defaultDataDir(root);
  mkdirSync(dataDir, { recursive: true });
  const given = env.LOOM_TOKEN || env.OPTIMALOS_TOKEN;
  const tokenFile = given ? undefined : path.join(dataDir, "token");
  return {
    dataDir,
    tokenFile,
    token: given ?? keepToken(path.join(dataDir, "token")),
    supabase,
  };
}

/** One without the other is a mistake: the embedded database would be used without a word. */
function readSupabase(env: NodeJS.ProcessEnv): SupabaseSettings | undefined {
  const url = env.SUPABASE_URL?.trim();
  const key = env.SUPABASE_SECRET_KEY?.trim() || env.SUPABASE_SERVICE_ROLE_KEY?.trim();
  if (!url && !key) return undefined;
  const instead = "or unset it to use the embedded database";
  if (!url) {
    const name = env.SUPABASE_SECRET_KEY?.trim()
      ? "SUPABASE_SECRET_KEY"
      : "SUPABASE_SERVICE_ROLE_KEY";
    throw new Error(
      `${name} is set and SUPABASE_URL is not: set SUPABASE_URL to the address of that project, ${instead}.`,
    );
  }
  if (!key) {
    throw new Error(
      `SUPABASE_URL is set and no key is: set SUPABASE_SECRET_KEY (or SUPABASE_SERVICE_ROLE_KEY) to a secret key of that project, ${instead}.`,
    );
  }
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) {
    throw new Error(
      `SUPABASE_URL is not an address such as https://abc.supabase.co: set it to the one of the project, ${instead}.`,
    );
  }
  const publishableKey =
    env.SUPABASE_PUBLISHABLE_KEY?.trim() || env.SUPABASE_ANON_KEY?.trim() || undefined;
  return { url, key, publishableKey };
}
