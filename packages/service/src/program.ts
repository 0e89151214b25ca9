import { execFileSync } from "node:child_process";
import { accessSync, constants, realpathSync } from "node:fs";
import path from "node:path";
import { ServiceError } from "./errors.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/**
 * Returns the user that a system service runs as: the named one, else the one who used sudo.
 *
 * @param option - The option that names one, for the message.
 * @throws ServiceError when there is neither. A service runs as root only if the option names root.
 */
export function serviceUser(
  variables: Variables,
  named: string | undefined,
  option = "--run-as",
): string {
  const user = named ?? variables.SUDO_USER;
  if (user && /^[a-z_][a-z0-9_-]{0,31}\$?$/i.test(user)) return user;
  throw new ServiceError(
    user
      ? `${user} is not a user name`
      : `name the user that the service runs as with ${option} (it would run as uid ${process.getuid?.()})`,
  );
}

/** Matches the folders of programs that were fetched to run once: npx, pnpm dlx, yarn dlx, bunx. */
const FETCHED = /\/(_npx|dlx|dlx-[^/]*|bunx-[^/]*)\//;

/**
 * Returns the Node and the program of a service, as absolute paths that stay valid. A path in a package
 * manager's cache does not: the service would fail when the cache is emptied.
 *
 * @param running - The Node and the program that run now.
 * @param options.name - The program, as in `loom-agent`.
 * @param options.packageName - The npm package that it is in.
 * @throws ServiceError that says what to install.
 */
export function serviceProgram(
  running: { node: string; main: string },
  { name, packageName, variables }: { name: string; packageName: string; variables: Variables },
): { node: string; main: string } {
  if (isFetched(running.main, variables)) {
    throw new ServiceError(
      `this ${name} is in a package manager's cache (${running.main}), which may be emptied: install it with npm install --global ${packageName}, and run ${name} install again`,
    );
  }
  const inPath = (variables.PATH ?? "")
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder))
    .map((folder) => path.join(folder, "node"));
  const node = [running.node, ...inPath].find(
    (file) => isProgram(file) && !isFetched(file, variables) && isNewEnough(file),
  );
  if (node) return { node, main: running.main };
  throw new ServiceError(
    `Node is in a package manager's cache (${running.node}), which may be emptied, and there is no other one in PATH that is new enough: install Node 22.18 or newer, and run this again`,
  );
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isFetched(file: string, variables: Variables): boolean {
  const real = realpathSync(file);
  const cache = variables.npm_config_cache;
  return FETCHED.test(real) || (!!cache && real.startsWith(`${path.resolve(cache)}/`));
}

/** Whether a version satisfies the `engines` of package.json. */
function isNewEnough(node: string): boolean {
  try {
    const version = execFileSync(node, ["--version"], { encoding: "utf8", timeout: 5_000 });
    const [, major = 0, minor = 0] = /^v(\d+)\.(\d+)/.exec(version)?.map(Number) ?? [];
    return major > 22 || (major === 22 && minor >= 18);
  } catch {
    return false;
  }
}
