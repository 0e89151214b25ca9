import { access, constants } from "node:fs/promises";
import type { Probe } from "./probe.ts";
import { toValue } from "./to-value.ts";

/** What it takes to act as somebody: variables that are set, and files that can be read. */
export interface Credentials {
  /** `returnpro` makes `has-returnpro-creds`. */
  name: string;
  /** Names of variables, and absolute paths of files. */
  needs: readonly string[];
}

/**
 * Credentials that this machine has: `has-<name>-creds` when all that it takes is there. Values
 * are neither kept nor told.
 */
export const credentials = (
  { name, needs }: Credentials,
  variables: Readonly<Record<string, string | undefined>>,
): Probe => ({
  name: `credentials ${name}`,
  everyMs: 60_000,
  async look() {
    const isThere = await Promise.all(
      needs.map((need) => (need.startsWith("/") ? isReadable(need) : !!variables[need]?.trim())),
    );
    const missing = needs.filter((_, index) => !isThere[index]);
    if (missing.length > 0) return { result: "absent", evidence: `${missing.join(", ")} missing` };
    return {
      result: "ok",
      capabilities: [`has-${toValue(name)}-creds`],
      evidence: needs.join(", "),
    };
  },
});

const isReadable = (file: string): Promise<boolean> =>
  access(file, constants.R_OK).then(
    () => true,
    () => false,
  );

/**
 * Reads which credentials to look for: `returnpro=RETURNPRO_USER+RETURNPRO_PASSWORD,nas=/etc/nas.cred`.
 *
 * @returns undefined when the text says something else.
 */
export function parseCredentials(text: string): Credentials[] | undefined {
  const entries = text
    .split(",")
    .map((entry) => entry.trim())
    .filter(Boolean);
  const read = entries.map((entry) => {
    const [, name, needs] = /^([a-z0-9][a-z0-9._-]{0,60})=(.+)$/.exec(entry) ?? [];
    const list = (needs ?? "").split("+").map((need) => need.trim());
    const isRight = list.every((need) => /^(\/.+|[A-Za-z_][A-Za-z0-9_]*)$/.test(need));
    return name && isRight ? { name, needs: list } : undefined;
  });
  return read.every((entry) => entry !== undefined) ? read : undefined;
}
