import { parseCredentials, parseDoorbell } from "@loom/worker";
import { z } from "zod";

type Variables = Readonly<Record<string, string | undefined>>;

/** The agent's settings are wrong; every problem is in the message. */
export class EnvError extends Error {
  override readonly name = "EnvError";
  readonly code = "ENV";
}

/** What a parser makes of a text; `advice` when it makes nothing of it. */
const parsed = <Value>(parse: (text: string) => Value | undefined, advice: string) =>
  z.string().transform((text, context): Value => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: advice });
    return z.NEVER;
  });

const list = z
  .string()
  .default("")
  .transform((text) => text.split(",").map((entry) => entry.trim()))
  .transform((entries) => entries.filter((entry) => entry !== ""));

const schema = z.object({
  SUPABASE_URL: z.url({
    protocol: /^https?$/,
    error: "set it to the address of the Supabase project, such as https://abc.supabase.co",
  }),
  LOOM_NODE_KEY: z.string(
    "set it to a key for this node (or, with all its power, SUPABASE_SERVICE_ROLE_KEY)",
  ),
  LOOM_NODE_NAME: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9._-]{0,62}$/,
      "use 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit",
    )
    .optional(),
  // A clause has no spaces: nothing could ever require a capability that does.
  LOOM_CAPABILITIES: list.refine(
    (tags) => tags.every((tag) => /^[^\s\p{C}]{1,200}$/u.test(tag)),
    "separate by commas; each has up to 200 printable characters and no spaces, as in has-gpu,docker",
  ),
  LOOM_PROBE_BINARIES: list.refine(
    (names) => names.every((name) => /^[\w.+-]{1,100}$/.test(name)),
    "separate names of programs by commas, as in ffmpeg,git",
  ),
  LOOM_PROBE_CREDENTIALS: parsed(
    parseCredentials,
    "use name=VARIABLE+/absolute/file, separated by commas, as in returnpro=RETURNPRO_USER+RETURNPRO_KEY",
  ).default([]),
  LOOM_SLOTS: z.coerce.number().int().min(1).max(1_000).default(1),
  LOOM_LEASE_MS: z.coerce.number().int().min(3_000).max(3_600_000).default(45_000),
  LOOM_GRACE_MS: z.coerce.number().int().min(0).max(86_400_000).default(20_000),
  POLL_INTERVAL_MS: z.coerce.number().int().min(50).max(3_600_000).default(5_000),
  LOOM_WORKFLOWS_DIR: z.string().optional(),
  LOOM_DOORBELL: parsed(
    parseDoorbell,
    "use off, an address of the tailnet or a loopback one, :port, or address:port",
  ).optional(),
  LOOM_STATE_DIR: z.string().startsWith("/", "use an absolute path").optional(),
  LOG_LEVEL: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
});

/** The agent's settings, checked. */
export type Env = z.output<typeof schema> & {
  /** The key is not the node's own: it can do everything. */
  isServiceKey: boolean;
};

/**
 * Reads the agent's settings. A blank variable counts as one that is not set.
 *
 * @throws EnvError that lists every problem at once.
 */
export function readEnv(variables: Variables): Env {
  const given = (name: string): string | undefined => variables[name]?.trim() || undefined;
  const nodeKey = given("LOOM_NODE_KEY");
  const env = schema.safeParse({
    ...Object.fromEntries(Object.keys(schema.shape).map((name) => [name, given(name)])),
    LOOM_NODE_KEY: nodeKey ?? given("SUPABASE_SERVICE_ROLE_KEY"),
  });
  if (env.success) return { ...env.data, isServiceKey: nodeKey === undefined };
  const problems = env.error.issues.map(({ path, message }) => `  ${path.join(".")}: ${message}`);
  throw new EnvError(`loom-agent cannot work with this environment:\n${problems.join("\n")}`);
}
