import { homedir, userInfo } from "node:os";
import path from "node:path";
import { PreconditionError } from "../errors.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/** Where a service's files are, and how systemctl is told about it. */
export interface ServiceFiles {
  scope: "user" | "system";
  unit: string;
  envFile: string;
  keyFile: string;
  systemctl: readonly string[];
}

const NAME = "loom-agent.service";

/** A service of this user's own, or of the machine. */
export function serviceFiles(scope: "user" | "system", variables: Variables): ServiceFiles {
  const config =
    scope === "system"
      ? "/etc/loom-agent"
      : path.join(variables.XDG_CONFIG_HOME || path.join(homedir(), ".config"), "loom-agent");
  const units =
    scope === "system" ? "/etc/systemd/system" : path.join(path.dirname(config), "systemd/user");
  return {
    scope,
    unit: path.join(units, NAME),
    envFile: path.join(config, "agent.env"),
    keyFile: path.join(config, "node-key"),
    systemctl: scope === "system" ? [] : ["--user"],
  };
}

/**
 * Whom a service of the machine runs as: the one who used sudo, unless somebody is named.
 *
 * @throws PreconditionError when that is nobody: steps are not run as root unasked.
 */
export function serviceUser(variables: Variables, named: string | undefined): string {
  const user = named ?? variables.SUDO_USER;
  if (user && /^[a-z_][a-z0-9_-]{0,31}\$?$/i.test(user)) return user;
  throw new PreconditionError(
    user
      ? `${user} is no name of a user`
      : `say whom steps are to run as, with --run-as (they would run as ${userInfo().username})`,
  );
}
