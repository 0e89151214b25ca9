import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { defaultDataDir } from "@loom/local-db";

export interface Settings {
  dataDir: string;
  token: string;
  /** Where the token is to be read again; undefined when the environment gave it. */
  tokenFile: string | undefined;
  /** The Supabase project to use instead of the embedded database. */
  supabase: { url: string; key: string } | undefined;
}

/** Reads the environment; makes the token that it does not give. */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  const root = fileURLToPath(new URL("../../..", import.meta.url));
  const dataDir = env.LOOM_DATA_DIR ? path.resolve(env.LOOM_DATA_DIR) : defaultDataDir(root);
  mkdirSync(dataDir, { recursive: true });
  const given = env.LOOM_TOKEN || env.OPTIMALOS_TOKEN;
  const tokenFile = given ? undefined : path.join(dataDir, "token");
  const key = env.SUPABASE_SECRET_KEY || env.SUPABASE_SERVICE_ROLE_KEY;
  return {
    dataDir,
    tokenFile,
    token: given ?? keptToken(path.join(dataDir, "token")),
    supabase: env.SUPABASE_URL && key ? { url: env.SUPABASE_URL, key } : undefined,
  };
}

/** The token of earlier starts; a new random one the first time, readable by its owner only. */
function keptToken(file: string): string {
  try {
    writeFileSync(file, `${randomBytes(24).toString("base64url")}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  return readFileSync(file, "utf8").trim();
}
