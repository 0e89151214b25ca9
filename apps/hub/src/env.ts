import { z } from "zod";

const text = z
  .string()
  .optional()
  .transform((value) => value?.trim() || undefined);

const LOOPBACK = ["127.0.0.1", "::1", "localhost"];
/** What people paste from examples. A token like this guards nothing. */
const PLACEHOLDERS = [
  "changeme",
  "change-me",
  "loom",
  "token",
  "secret",
  "password",
  "test",
  "dev",
];

const schema = z
  .object({
    SUPABASE_URL: z.url("the address of the Supabase project, such as https://abc.supabase.co"),
    SUPABASE_SECRET_KEY: text,
    SUPABASE_SERVICE_ROLE_KEY: text,
    PORT: z.coerce.number().int().min(0).max(65535).default(3000),
    LOOM_BIND: text.transform((value) => value ?? "127.0.0.1"),
    LOOM_TOKEN: text,
    OPTIMALOS_TOKEN: text,
    LOOM_NODE_NAME: text,
    LOOM_WORKFLOWS_DIR: text,
    LOOM_LEASE_MS: z.coerce.number().int().min(3_000).max(3_600_000).default(45_000),
    LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
  })
  .transform((env) => ({
    ...env,
    key: env.SUPABASE_SECRET_KEY ?? env.SUPABASE_SERVICE_ROLE_KEY ?? "",
    token: env.LOOM_TOKEN ?? env.OPTIMALOS_TOKEN,
    isLoopback: LOOPBACK.includes(env.LOOM_BIND),
  }))
  .check(({ value, issues }) => {
    if (!value.key) {
      issues.push({
        code: "custom",
        path: ["SUPABASE_SECRET_KEY"],
        message:
          "set it (or SUPABASE_SERVICE_ROLE_KEY) to a key of the project that may call functions",
        input: undefined,
      });
    }
    if (value.isLoopback) return;
    if (!value.token || PLACEHOLDERS.includes(value.token.toLowerCase())) {
      issues.push({
        code: "custom",
        path: ["LOOM_TOKEN"],
        message: `is ${value.token ? "a placeholder" : "not set"}, but LOOM_BIND=${value.LOOM_BIND} can be reached from other machines. Set a random one, for example: openssl rand -hex 32`,
        input: undefined,
      });
    }
  });

export type Env = z.output<typeof schema>;

/** The hub's settings were wrong; every problem is in the message. */
export class EnvError extends Error {
  override readonly name = "EnvError";
  readonly code = "ENV";
}

/** @throws EnvError that lists every problem at once. */
export function readEnv(variables: Readonly<Record<string, string | undefined>>): Env {
  const env = schema.safeParse(variables);
  if (env.success) return env.data;
  const problems = env.error.issues.map(({ path, message }) => `  ${path.join(".")}: ${message}`);
  throw new EnvError(`loom-hub cannot start with this environment:\n${problems.join("\n")}`);
}
