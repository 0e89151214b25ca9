import { readFileSync } from "node:fs";
import path from "node:path";
import {
  capabilities,
  EnvError,
  execPolicy,
  isOn,
  list,
  logLevel,
  nodeName,
  parsed,
  readVariables,
  stateDir,
  supabaseUrl,
  type Variables,
  wakeSetting,
  wholeNumber,
} from "@loom/program";
import { isNodeKeyShaped } from "@loom/queue";
import { parseCredentials } from "@loom/worker";
import { limits } from "@loom/workflow";
import { z } from "zod";

const NO_KEY =
  "set it to this node's key; a hub gives one to a machine that joins: loom-agent join";

/** A node's own key comes with the project's publishable one. The service key needs no other. */
const keySchemas = {
  own: {
    LOOM_NODE_KEY: z
      .string()
      .refine(isNodeKeyShaped, "a node's key is loomn_ and 43 characters; join again to get one"),
    SUPABASE_PUBLISHABLE_KEY: z.string(
      "set it to the project's publishable key: a node's key goes beside it",
    ),
  },
  service: { LOOM_NODE_KEY: z.string(NO_KEY) },
};

const schema = z.object({
  SUPABASE_URL: supabaseUrl,
  LOOM_NODE_NAME: nodeName.optional(),
  LOOM_CAPABILITIES: capabilities,
  LOOM_PROBE_BINARIES: list.refine(
    (names) => names.every((name) => /^[\w.+-]{1,100}$/.test(name)),
    "separate names of programs by commas, as in ffmpeg,git",
  ),
  LOOM_PROBE_CREDENTIALS: parsed(
    parseCredentials,
    "use name=VARIABLE+/absolute/file, separated by commas, as in returnpro=RETURNPRO_USER+RETURNPRO_KEY",
  ).default([]),
  LOOM_SLOTS: wholeNumber(1, 1_000, 1),
  LOOM_PREFETCH: wholeNumber(0, 100, 0),
  LOOM_LEASE_MS: wholeNumber(3_000, 3_600_000, 45_000),
  LOOM_GRACE_MS: wholeNumber(0, 86_400_000, 20_000),
  POLL_INTERVAL_MS: wholeNumber(50, 3_600_000, 5_000),
  LOOM_WORKFLOWS_DIR: z.string().optional(),
  LOOM_CODE: z
    .enum(["hub", "local"], "use hub, or local for this machine's own files only")
    .optional(),
  LOOM_CODE_KEY: z
    .string()
    .regex(/^[\w-]{43}$/, "is the hub's public key for code, 43 characters: join again to get it")
    .optional(),
  LOOM_HUB_URL: z
    .string()
    .regex(
      /^https?:\/\//,
      "is the address of the hub, such as http://oracle:3000; a machine that joined does not need it",
    )
    .optional(),
  LOOM_EXEC: execPolicy,
  LOOM_EXEC_ON_HUB: isOn,
  LOOM_UPGRADE: z
    .enum(["asked", "auto"], "use auto, or asked to change the agent only when the hub says so")
    .default("asked"),
  LOOM_UPGRADE_DRAIN_MS: wholeNumber(0, limits.timerMs, 86_400_000),
  LOOM_WAKE: wakeSetting.optional(),
  LOOM_STATE_DIR: stateDir.optional(),
  LOG_LEVEL: logLevel,
});

/** The agent's settings, checked. */
export type Env = z.output<typeof schema> & {
  /** How to reach the database. Without a key of the node's own, the key is the service key. */
  database: { url: string; key: string; nodeKey: string | undefined };
};

/**
 * Reads the agent's settings. A blank variable counts as unset.
 *
 * @throws EnvError that lists every problem at once.
 */
export function readEnv(variables: Variables): Env {
  const headline = "loom-agent cannot work with this environment";
  if (variables.LOOM_NODE_KEY?.trim()) {
    const {
      LOOM_NODE_KEY: nodeKey,
      SUPABASE_PUBLISHABLE_KEY: key,
      ...env
    } = readVariables(schema.extend(keySchemas.own), variables, {
      headline,
      aliases: { SUPABASE_PUBLISHABLE_KEY: ["SUPABASE_ANON_KEY"] },
    });
    return { ...env, database: { url: env.SUPABASE_URL, key, nodeKey } };
  }
  const { LOOM_NODE_KEY: key, ...env } = readVariables(
    schema.extend(keySchemas.service),
    variables,
    { headline, aliases: { LOOM_NODE_KEY: ["SUPABASE_SERVICE_ROLE_KEY"] } },
  );
  return { ...env, database: { url: env.SUPABASE_URL, key, nodeKey: undefined } };
}

/** What to do about an agent that has the service key, which can do everything. */
export const KEY_ADVICE =
  "give this node a key of its own: make a join token at the hub, run loom-agent join HUB here, and take SUPABASE_SERVICE_ROLE_KEY away";

/** Where systemd's `LoadCredential=node-key:…` puts it: systemd.exec(5), CREDENTIALS_DIRECTORY. */
const CREDENTIAL = "node-key";

/** The file that the node's key is in, if it is in one. */
export const keyFileOf = (variables: Variables): string | undefined =>
  variables.LOOM_NODE_KEY_FILE?.trim() ||
  (variables.CREDENTIALS_DIRECTORY && path.join(variables.CREDENTIALS_DIRECTORY, CREDENTIAL));

/**
 * The variables with the key of the file, if it is in one: there, no child process inherits it. What is no
 * node's key is the service key.
 *
 * @throws EnvError when the file cannot be read.
 */
export function withNodeKey(variables: Variables): Variables {
  const file = keyFileOf(variables);
  if (!file || variables.LOOM_NODE_KEY?.trim()) return variables;
  try {
    const text = readFileSync(file, "utf8").trim();
    const name = isNodeKeyShaped(text) ? "LOOM_NODE_KEY" : "SUPABASE_SERVICE_ROLE_KEY";
    return { ...variables, [name]: text };
  } catch (error) {
    throw new EnvError(`the node's key cannot be read: ${(error as Error).message}`);
  }
}
