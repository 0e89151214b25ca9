import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { Variables } from "@loom/program";
import { hubStateDir } from "../embedded.ts";

/**
 * Returns the paths of the files beside the database that cannot be made again, by their names in a backup: the secret
 * that signs the database's keys, the bootstrap token, the key of an agent that was started beside the hub, this
 * machine's identity, and the key that signs code.
 *
 * @param data - The folder of the embedded database; undefined for a Supabase project.
 */
export function keptFiles(
  data: string | undefined,
  variables: Variables,
): ReadonlyMap<string, string> {
  const state = hubStateDir(variables);
  const signingKey = variables.LOOM_SIGNING_KEY_FILE?.trim() || path.join(state, "signing-key");
  return new Map([
    ...(data === undefined
      ? []
      : ["jwt-secret", "token", "agent-key"].map((name): [string, string] => [
          name,
          path.join(data, name),
        ])),
    ["machine.json", path.join(state, "machine.json")],
    ["signing-key", signingKey],
  ]);
}

/**
 * Writes the files of a backup to their places. An existing file stays, because nodes may know it.
 *
 * @returns The existing files that differ from those of the backup.
 */
export function putFiles(
  files: ReadonlyMap<string, Buffer>,
  places: ReadonlyMap<string, string>,
): string[] {
  const others: string[] = [];
  for (const [name, place] of places) {
    const data = files.get(`files/${name}`);
    if (!data) continue;
    if (!existsSync(place)) {
      mkdirSync(path.dirname(place), { recursive: true, mode: 0o700 });
      writeFileSync(place, data, { mode: 0o600 });
    } else if (!readFileSync(place).equals(data)) others.push(place);
  }
  return others;
}
