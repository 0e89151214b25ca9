import { access, constants } from "node:fs/promises";
import { toValue } from "./capabilities.ts";
import type { Probe } from "./probe.ts";

/** Variables that must be set and files that must be readable for a machine to have some credentials. */
export interface Credentials {
  /** `returnpro` makes `has-returnpro-creds`. */
  name: string;
  /** Names of variables, and absolute paths of files. */
  needs: readonly string[];
}

/** Credentials that this machine has, as `has-<name>-creds`. Their values are neither kept nor reported. */
export const credentials = (
  { name, needs }: Credentials,
  variables: Readonly<Record<string, string | undefined>>,
): Probe => ({
  name: `credentials ${name}`,
  everyMs: 60_000,
  async run() {
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
 * Reads which credentials to probe: `returnpro=RETURNPRO_USER+RETURNPRO_PASSWORD,nas=/etc/nas.cred`.
 *
 * @returns undefined when the text is invalid.
 */
export function parseCredentials(text: string): Credentials[] | undefined {
  const entries = text
    .split(",")
    .map((entry) => entry.trim())
    .filter(Boolean);
  const read = entries.map((entry) => {
    const [, name, needs] = /^([a-z0-9][a-z0-9._-]{0,60})=(.+)$/.exec(entry) ?? [];
    const list = (needs ?? "").split("+").map((need) => need.trim());
    const isValid = list.every((need) => /^(\/.+|[A-Za-z_][A-Za-z0-9_]*)$/.test(need));
    return name && isValid ? { name, needs: list } : undefined;
  });
  return read.every((entry) => entry !== undefined) ? read : undefined;
}
