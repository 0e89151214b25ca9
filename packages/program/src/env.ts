import { parseCapabilities, parseExecPolicy, parseWakeSetting } from "@loom/worker";
import { z } from "zod";

/** The environment of a process. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** The program's settings are wrong. The message lists every problem. */
export class EnvError extends Error {
  override readonly name = "EnvError";
  readonly code = "ENV";
}

/**
 * Reads settings from the environment. A blank variable counts as unset.
 *
 * @param schema - One field a variable. Its messages tell a person what to set.
 * @param options.headline - The first line of the error.
 * @param options.aliases - Other variables to read, in this order, when a variable is unset.
 * @throws EnvError that lists every problem at once.
 */
export function readVariables<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  variables: Variables,
  {
    headline,
    aliases = {},
  }: { headline: string; aliases?: Readonly<Record<string, readonly string[]>> },
): z.output<z.ZodObject<Shape>> {
  const read = (name: string): string | undefined => variables[name]?.trim() || undefined;
  const given = Object.keys(schema.shape).map((name): [string, string | undefined] => [
    name,
    [name, ...(aliases[name] ?? [])].map(read).find((text) => text !== undefined),
  ]);
  const env = schema.safeParse(Object.fromEntries(given));
  if (env.success) return env.data;
  const problems = env.error.issues.map(({ path, message }) => `  ${path.join(".")}: ${message}`);
  throw new EnvError(`${headline}:\n${problems.join("\n")}`);
}

/** A setting that a function parses. `advice` is the message when it returns undefined. */
export const parsed = <Value>(parse: (text: string) => Value | undefined, advice: string) =>
  z.string().transform((text, context): Value => {
    const value = parse(text);
    if (value !== undefined) return value;
    context.addIssue({ code: "custom", message: advice });
    return z.NEVER;
  });

/** A whole number from `min` to `max`, written in digits. */
export const wholeNumber = (min: number, max: number, byDefault: number) =>
  z
    .string()
    .refine(
      (text) => /^\d{1,15}$/.test(text) && Number(text) >= min && Number(text) <= max,
      `use a whole number from ${min} to ${max}`,
    )
    .transform(Number)
    .default(byDefault);

/** A list separated by commas; empty entries are left out. */
export const list = z
  .string()
  .default("")
  .transform((text) => text.split(",").map((entry) => entry.trim()))
  .transform((entries) => entries.filter((entry) => entry !== ""));

export const nodeName = z
  .string()
  .regex(
    /^[a-z0-9][a-z0-9._-]{0,62}$/,
    "use 1 to 63 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit",
  );

/** The capabilities that a node declares. */
export const capabilities = z
  .string()
  .default("")
  .transform((text, context) => {
    const read = parseCapabilities(text);
    if ("capabilities" in read) return read.capabilities;
    context.addIssue({ code: "custom", message: read.problem });
    return z.NEVER;
  });

/** The address of a node's wake server, or `off`. */
export const wakeSetting = parsed(
  parseWakeSetting,
  "use off, a tailnet or loopback address, :port, or address:port",
);

/** Which commands a machine runs: `off`, `any`, or a file that lists programs. */
export const execPolicy = parsed(
  parseExecPolicy,
  "use off, any, or the absolute path of a file that lists programs",
).default({ kind: "off" });

/** A switch that is off unless it is 1. */
export const isOn = z
  .enum(["0", "1"], "use 1, or leave it out")
  .default("0")
  .transform((text) => text === "1");

export const supabaseUrl = z.url({
  protocol: /^https?$/,
  error: "set it to the address of the Supabase project, such as https://abc.supabase.co",
});

export const stateDir = z.string().startsWith("/", "use an absolute path");

const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

export const logLevel = z.enum(LOG_LEVELS, `use one of ${LOG_LEVELS.join(", ")}`).default("info");
