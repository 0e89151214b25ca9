import { z } from "zod";

const text = z
  .string()
  .optional()
  .transform((value) => value?.trim() || undefined);

const schema = z
  .object({
    SUPABASE_URL: z.url("the address of the Supabase project, such as https://abc.supabase.co"),
    LOOM_NODE_KEY: text,
    SUPABASE_SERVICE_ROLE_KEY: text,
    LOOM_NODE_NAME: text,
    LOOM_CAPABILITIES: z
      .string()
      .default("")
      .transform((list) =>
        list
          .split(",")
          .map((tag) => tag.trim())
          .filter(Boolean),
      ),
    LOOM_SLOTS: z.coerce.number().int().min(1).max(1000).default(1),
    LOOM_LEASE_MS: z.coerce.number().int().min(3_000).max(3_600_000).default(45_000),
    LOOM_GRACE_MS: z.coerce.number().int().min(0).max(86_400_000).default(20_000),
    POLL_INTERVAL_MS: z.coerce.number().int().min(50).max(3_600_000).default(5_000),
    LOOM_WORKFLOWS_DIR: text,
    LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "silent"]).default("info"),
  })
  .transform((env) => ({ ...env, key: env.LOOM_NODE_KEY ?? env.SUPABASE_SERVICE_ROLE_KEY ?? "" }))
  .check(({ value, issues }) => {
    if (value.key) return;
    issues.push({
      code: "custom",
      path: ["LOOM_NODE_KEY"],
      message: "set it to a key for this node (or, with all its power, SUPABASE_SERVICE_ROLE_KEY)",
      input: undefined,
    });
  });

export type Env = z.output<typeof schema>;

/** The agent's settings were wrong; every problem is in the message. */
export class EnvError extends Error {
  override readonly name = "EnvError";
  readonly code = "ENV";
}

/** @throws EnvError that lists every problem at once. */
export function readEnv(variables: Readonly<Record<string, string | undefined>>): Env {
  const env = schema.safeParse(variables);
  if (env.success) return env.data;
  const problems = env.error.issues.map(({ path, message }) => `  ${path.join(".")}: ${message}`);
  throw new EnvError(`loom-agent cannot start with this environment:\n${problems.join("\n")}`);
}
