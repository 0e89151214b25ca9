import { readFileSync } from "node:fs";
import path from "node:path";
import { EnvError } from "./env.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/** Where systemd's `LoadCredential=node-key:…` puts it: systemd.exec(5), CREDENTIALS_DIRECTORY. */
const CREDENTIAL = "node-key";

/** The file that the node's key is in, if it is in one. */
export const keyFileOf = (variables: Variables): string | undefined =>
  variables.LOOM_NODE_KEY_FILE?.trim() ||
  (variables.CREDENTIALS_DIRECTORY && path.join(variables.CREDENTIALS_DIRECTORY, CREDENTIAL));

/**
 * The variables with the node's key, which may be in a file: there, no child process inherits it.
 *
 * @throws EnvError when the file cannot be read.
 */
export function withNodeKey(variables: Variables): Variables {
  const file = keyFileOf(variables);
  if (!file || variables.LOOM_NODE_KEY?.trim()) return variables;
  try {
    return { ...variables, LOOM_NODE_KEY: readFileSync(file, "utf8").trim() };
  } catch (error) {
    throw new EnvError(`the node's key cannot be read: ${(error as Error).message}`);
  }
}
