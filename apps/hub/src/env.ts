import { type Scope, scopes } from "@loom/queue";
import { parseDoorbell } from "@loom/worker";
import { z } from "zod";
import { EnvError } from "./errors.ts";
import { isLoopback } from "./loopback.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/** What people paste from examples, without its punctuation. A token like this guards nothing. */
const PLACEHOLDERS = new Set([
  "changeme",
  "changethis",
  "dev",
  "example",
  "loom",
  "loomtoken",
  "optimalostoken",
  "password",
  "placeholder",
  "replaceme",
  "secret",
  "test",
  "token",
  "yoursecret",
  "yourtoken",
  "yourtokenhere",
]);

const isPlaceholder = (token: string): boolean =>
  /^(<.*>|(.)\2*)$/.test(token) ||
  PLACEHOLDERS.has(token.toLowerCase().replaceAll(/[^a-z0-9]/g, ""));

const sendable = z.string().regex(/^[!-~]+$/, "holds what no Authorization header can carry");

function tokenFor(bind: string) {
  if (isLoopback(bind)) return sendable.optional();
  const advice = `LOOM_BIND=${bind} lets other machines in. Set a random one, for example: openssl rand -hex 32`;
  return sendable
    .refine((token) => !isPlaceholder(token), `is a placeholder, but ${advice}`)
    .optional()
    .refine((token) => token !== undefined, `is not set, but ${advice}`);
}

const nodeName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,62}$/,
    "use 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit",
  );

const TAILNET_RULE = new RegExp(`^[^\\s=,]+=(${scopes.join("|")})(,(${scopes.join("|")}))*$`);
const doorbell = z
  .string()
  .transform((text, context) => {
    const setting = parseDoorbell(text);
    if (setting) return setting;
    const message = "use off, an address of the tailnet or a loopback one, :port, or address:port";
    context.addIssue({ code: "custom", message });
    return z.NEVER;
  })
  .optional();

const schemaFor = (bind: string) =>
  z.object({
    SUPABASE_URL: z.url({
      protocol: /^https?$/,
      error: "set it to the address of the Supabase project, such as https://abc.supabase.co",
    }),
    SUPABASE_SECRET_KEY: z.string(
      "set it (or SUPABASE_SERVICE_ROLE_KEY) to a key of the project that may call functions",
    ),
    PORT: z.coerce.number().int().min(0).max(65_535).default(3_000),
    LOOM_TOKEN: tokenFor(bind),
    LOOM_HOSTS: z
      .string()
      .default("")
      .transform((names) => names.split(",").map((name) => name.trim()))
      .transform((names) => names.filter((name) => name !== ""))
      .refine(
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
    LOOM_NODE_NAME: nodeName.optional(),
    LOOM_DEFAULT_HOST: nodeName.optional(),
    LOOM_WORKFLOWS_DIR: z.string().optional(),
    LOOM_DOORBELL: doorbell,
    LOOM_LEASE_MS: z.coerce.number().int().min(3_000).max(3_600_000).default(45_000),
    LOG_LEVEL: z
      .enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"])
      .default("info"),
  });

/** The hub's settings, checked. */
export type Env = z.output<ReturnType<typeof schemaFor>> & { LOOM_BIND: string };

/**
 * Reads the hub's settings. A blank variable counts as one that is not set.
 *
 * @throws EnvError that lists every problem at once.
 */
export function readEnv(variables: Variables): Env {
  const given = (name: string): string | undefined => variables[name]?.trim() || undefined;
  const LOOM_BIND = given("LOOM_BIND") ?? "127.0.0.1";
  const schema = schemaFor(LOOM_BIND);
  const env = schema.safeParse({
    ...Object.fromEntries(Object.keys(schema.shape).map((name) => [name, given(name)])),
    SUPABASE_SECRET_KEY: given("SUPABASE_SECRET_KEY") ?? given("SUPABASE_SERVICE_ROLE_KEY"),
    LOOM_TOKEN: given("LOOM_TOKEN") ?? given("OPTIMALOS_TOKEN"),
  });
  if (env.success) return { ...env.data, LOOM_BIND };
  const problems = env.error.issues.map(({ path, message }) => `  ${path.join(".")}: ${message}`);
  throw new EnvError(`loom-hub cannot start with this environment:\n${problems.join("\n")}`);
}
