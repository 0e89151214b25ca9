import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { isLoopback } from "@loom/http";
import {
  capabilities,
  EnvError,
  execPolicy,
  isOn,
  list,
  logLevel,
  nodeName,
  readVariables,
  stateDir,
  supabaseUrl,
  type Variables,
  wakeSetting,
  wholeNumber,
} from "@loom/program";
import { type Scope, scopes } from "@loom/queue";
import { z } from "zod";

/** Tokens that people paste from examples, without punctuation. They protect nothing. */
const PLACEHOLDERS = new Set(
  "changeme changethis dev example loom loomtoken optimalostoken password placeholder replaceme secret test token yoursecret yourtoken yourtokenhere".split(
    " ",
  ),
);

const isPlaceholder = (token: string): boolean =>
  /^(<.*>|(.)\2*)$/.test(token) ||
  PLACEHOLDERS.has(token.toLowerCase().replaceAll(/[^a-z0-9]/g, ""));

const sendable = z
  .string()
  .regex(/^[!-~]+$/, "has a character that no Authorization header can carry");

/** With the embedded database, a token that is not set is made and kept in its folder. */
function tokenFor({ bind, isEmbedded }: Place) {
  if (bind.every(isLoopback)) return sendable.optional();
  const advice = `LOOM_BIND=${bind.join(",")} lets other machines in. Set a random one, for example: openssl rand -hex 32`;
  return sendable
    .refine((token) => !isPlaceholder(token), `is a placeholder, but ${advice}`)
    .optional()
    .refine((token) => token !== undefined || isEmbedded, `is not set, but ${advice}`);
}

/** A direct connection. The hub prepares its statements, which a transaction pooler does not keep. */
const directUrl = z
  .string()
  .refine(
    (url) => URL.canParse(url) && /^postgres(ql)?:$/.test(new URL(url).protocol),
    "is not an address such as postgres://postgres:password@db.abc.supabase.co:5432/postgres; leave it out to use the API",
  )
  .refine(
    (url) => !URL.canParse(url) || new URL(url).port !== "6543",
    "names the transaction pooler of a project: use the direct connection or the session pooler (port 5432), or leave it out to use the API",
  );

const instead = "or unset it to use the embedded database";

const TAILNET_RULE = new RegExp(`^[^\\s=,]+=(${scopes.join("|")})(,(${scopes.join("|")}))*$`);

/** Where a hub listens, and whether it brings its database. Other settings depend on both. */
interface Place {
  bind: readonly string[];
  isEmbedded: boolean;
  hasBucket: boolean;
}

/** The bucket for files, with what it takes to use it. */
const bucketFor = (hasBucket: boolean) => {
  const needed = (text: z.ZodString) => (hasBucket ? text : text.optional());
  return {
    LOOM_FILES_S3: z
      .string()
      .refine(
        (url) =>
          URL.canParse(url) &&
          /^https?:$/.test(new URL(url).protocol) &&
          new URL(url).pathname.length > 1,
        "is not the address of a bucket, such as https://abc.storage.supabase.co/storage/v1/s3/loom-files",
      )
      .optional(),
    LOOM_FILES_S3_REGION: z
      .string()
      .regex(/^[a-z0-9-]{1,40}$/, "is a region, such as eu-central-1")
      .default("us-east-1"),
    LOOM_FILES_S3_KEY_ID: needed(
      z.string("is not set, but LOOM_FILES_S3 is: set it to the id of a key of that bucket"),
    ),
    LOOM_FILES_S3_SECRET: needed(
      z.string(
        "is not set, but LOOM_FILES_S3 is: set it, or LOOM_FILES_S3_SECRET_FILE, to the secret of that key",
      ),
    ),
  };
};

const schemaFor = (place: Place) =>
  z.object({
    SUPABASE_URL: place.isEmbedded
      ? supabaseUrl.optional()
      : z
          .string(
            `is not set, but a key is: set it to the address of that project, or unset the key to use the embedded database`,
          )
          .pipe(supabaseUrl),
    SUPABASE_SECRET_KEY: place.isEmbedded
      ? z.string().optional()
      : z.string(
          `is not set, but SUPABASE_URL is: set it (or SUPABASE_SERVICE_ROLE_KEY) to a key of that project that may call functions, ${instead}`,
        ),
    SUPABASE_PUBLISHABLE_KEY: z.string().optional(),
    // The embedded database has a connection of its own.
    DATABASE_URL: place.isEmbedded
      ? z
          .string()
          .optional()
          .transform((): undefined => undefined)
      : directUrl.optional(),
    PORT: wholeNumber(0, 65_535, 3_000),
    LOOM_TOKEN: tokenFor(place),
    LOOM_RETENTION: wholeNumber(1, 36_500, 30),
    LOOM_HOSTS: list.refine(
      (names) => names.every((name) => /^[a-z0-9._-]{1,253}$/i.test(name)),
      "is a list of host names, separated by commas, without ports: hub.example,oracle.bison-teal.ts.net",
    ),
    LOOM_TAILNET_CAPABILITY: z
      .string()
      .regex(/^[a-z0-9.-]+\/[\w./-]+$/i, "is the name of a grant, such as loom.example/cap/hub")
      .optional(),
    LOOM_TAILNET_SCOPES: z
      .string()
      .default("")
      .transform((rules) => rules.split(/\s+/).filter((rule) => rule !== ""))
      .refine(
        (rules) => rules.every((rule) => TAILNET_RULE.test(rule)),
        `is a list of logins and tags with their scopes (${scopes.join(", ")}), separated by spaces: ada@example.org=read,run tag:ci=run`,
      )
      .transform((rules) =>
        Object.fromEntries(
          rules.map((rule): [string, Scope[]] => {
            const [name = "", allowed = ""] = rule.split("=", 2);
            return [name, scopes.filter((scope) => allowed.split(",").includes(scope))];
          }),
        ),
      ),
    LOOM_TAILNET_JOIN: z
      .string()
      .default("")
      .transform((names) => names.split(/[\s,]+/).filter((name) => name !== ""))
      .refine(
        (names) => names.every((name) => /^(tag:[a-z][a-z0-9-]*|[^\s,=:]+)$/i.test(name)),
        "is a list of logins and tags, separated by spaces: ada@example.org tag:loom-agent",
      ),
    LOOM_NODE_NAME: nodeName.optional(),
    LOOM_DEFAULT_HOST: nodeName.optional(),
    LOOM_WORKFLOWS_DIR: z.string().optional(),
    LOOM_WAKE: wakeSetting.optional(),
    LOOM_CAPABILITIES: capabilities,
    LOOM_SLOTS: wholeNumber(1, 1_000, 4),
    LOOM_STATE_DIR: stateDir.optional(),
    LOOM_SIGNING_KEY_FILE: stateDir.optional(),
    ...bucketFor(place.hasBucket),
    LOOM_LEASE_MS: wholeNumber(3_000, 3_600_000, 45_000),
    LOOM_EXEC: execPolicy,
    LOOM_EXEC_ON_HUB: isOn,
    LOG_LEVEL: logLevel,
  });

/** The hub's settings, checked. */
export type Env = Omit<
  z.output<ReturnType<typeof schemaFor>>,
  "SUPABASE_URL" | "SUPABASE_SECRET_KEY"
> & {
  /** Addresses to listen on; `tailnet` is the one of this machine there. */
  LOOM_BIND: readonly string[];
  /** The Supabase project; undefined for the embedded database. */
  supabase: { url: string; key: string } | undefined;
};

/**
 * Reads the hub's settings. A blank variable counts as unset.
 *
 * @throws EnvError that lists every problem at once.
 */
export function readEnv(variables: Variables): Env {
  const isGiven = (name: string) => !!variables[name]?.trim();
  const bind = (variables.LOOM_BIND ?? "").split(",").map((address) => address.trim());
  const LOOM_BIND = withLoopback(bind.filter((address) => address !== ""));
  const isEmbedded = !["SUPABASE_URL", ...KEYS].some(isGiven);
  const { SUPABASE_URL, SUPABASE_SECRET_KEY, ...env } = readVariables(
    schemaFor({ bind: LOOM_BIND, isEmbedded, hasBucket: isGiven("LOOM_FILES_S3") }),
    variables,
    {
      headline: "loom-hub cannot start with this environment",
      aliases: {
        SUPABASE_SECRET_KEY: KEYS.slice(1),
        SUPABASE_PUBLISHABLE_KEY: ["SUPABASE_ANON_KEY"],
        LOOM_TOKEN: ["OPTIMALOS_TOKEN"],
      },
    },
  );
  const supabase =
    SUPABASE_URL !== undefined && SUPABASE_SECRET_KEY !== undefined
      ? { url: SUPABASE_URL, key: SUPABASE_SECRET_KEY }
      : undefined;
  return { ...env, LOOM_BIND, supabase };
}

/** Secrets that may be in files, with the names of the credentials that systemd makes of them. */
export const SECRETS = {
  SUPABASE_SECRET_KEY: "supabase-key",
  LOOM_TOKEN: "token",
  DATABASE_URL: "database-url",
  LOOM_FILES_S3_SECRET: "files-s3-secret",
} as const;

/**
 * The variables with the secrets that are in files: `LOOM_TOKEN_FILE`, `SUPABASE_SECRET_KEY_FILE`, `DATABASE_URL_FILE`,
 * or credentials of a service. There, no child process inherits them.
 *
 * @throws EnvError when such a file cannot be read.
 */
export function withSecretFiles(variables: Variables): Variables {
  const folder = variables.CREDENTIALS_DIRECTORY;
  const found: Record<string, string> = {};
  for (const [name, credential] of Object.entries(SECRETS)) {
    const inFolder = folder && path.join(folder, credential);
    const file =
      variables[`${name}_FILE`]?.trim() || (inFolder && existsSync(inFolder) && inFolder);
    if (!file || variables[name]?.trim()) continue;
    try {
      found[name] = readFileSync(file, "utf8").trim();
    } catch (error) {
      throw new EnvError(`${name}_FILE cannot be read: ${(error as Error).message}`);
    }
  }
  return { ...variables, ...found };
}

const KEYS = ["SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"];

/** Beside the tailnet, loopback stays open: for this machine's own programs, and before Tailscale is up. */
function withLoopback(bind: readonly string[]): readonly string[] {
  if (bind.length === 0) return ["127.0.0.1"];
  return bind.includes("tailnet") && !bind.some(isLoopback) ? ["127.0.0.1", ...bind] : bind;
}
