import { existsSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import type { Variables } from "@loom/program";
import {
  defaultScope,
  openService,
  type ServiceDefinition,
  serviceProgram,
  serviceUser,
} from "@loom/service";
import { readEnv, SECRETS, withSecretFiles } from "../env.ts";
import { UsageError } from "../exit.ts";

/** The time that the hub needs to end running steps, the last answers, and the embedded database. */
const STOP_MS = 60_000;

/** Matches settings of a service. Secrets have files of their own, and this user's paths are not the service's. */
const SETTING = /^(LOOM_(?!TOKEN|.*_FILE$)|SUPABASE_(URL|PUBLISHABLE_KEY)$|PORT$|LOG_LEVEL$)/;

function parse(args: readonly string[], allowed: readonly string[]) {
  const options = {
    user: { type: "boolean", default: false },
    system: { type: "boolean", default: false },
    print: { type: "boolean", default: false },
    "run-as": { type: "string" },
  } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    const foreign = Object.entries(values).find(
      ([name, value]) => value && !allowed.includes(name),
    );
    if (foreign) throw new Error(`it takes no --${foreign[0]}`);
    if (values.user && values.system) throw new Error("--user or --system, not both");
    return {
      scope: values.system ? "system" : values.user ? "user" : defaultScope(),
      print: values.print,
      runAs: values["run-as"],
    } as const;
  } catch (error) {
    throw new UsageError((error as Error).message.split("\n")[0]);
  }
}

/**
 * Makes the hub a service that starts with the machine, with the settings of this environment. With `--print`, it shows
 * the description and changes nothing.
 *
 * @param main - The path of this program.
 */
export async function install(
  args: readonly string[],
  { given, main }: { given: Variables; main: string },
): Promise<void> {
  const { scope, print, runAs } = parse(args, ["user", "system", "print", "run-as"]);
  const service = openService({ name: "loom-hub", scope, variables: given });
  const variables = withSecretFiles(given);
  const isAgain = service.hasSettings();
  // The settings of an earlier installation are kept and used.
  if (!isAgain) readEnv(variables);
  const program = serviceProgram(
    { node: process.execPath, main },
    { name: "loom-hub", packageName: "@loom/hub", variables: given },
  );
  const texts = {
    [SECRETS.SUPABASE_SECRET_KEY]:
      variables.SUPABASE_SECRET_KEY?.trim() || variables.SUPABASE_SERVICE_ROLE_KEY?.trim(),
    [SECRETS.LOOM_TOKEN]: variables.LOOM_TOKEN?.trim() || variables.OPTIMALOS_TOKEN?.trim(),
    [SECRETS.DATABASE_URL]: variables.DATABASE_URL?.trim(),
    [SECRETS.LOOM_FILES_S3_SECRET]: variables.LOOM_FILES_S3_SECRET?.trim(),
  };
  const definition: ServiceDefinition = {
    title: "Loom hub: places the steps of workflows, and serves the API",
    argv: [program.node, ...process.execArgv, program.main, "start"],
    runAs: scope === "system" ? serviceUser(given, runAs) : undefined,
    environment: settingsOf(given),
    secrets: Object.fromEntries(
      Object.entries(SECRETS)
        .filter(([, name]) => texts[name] || (isAgain && service.hasSettings([name])))
        .map(([variable, name]) => [
          name,
          { variable: `${variable}_FILE`, text: texts[name] || undefined },
        ]),
    ),
    stopMs: STOP_MS,
    // The exit codes for a wrong environment, and for a name that another machine has.
    finalExitCodes: [78, 6],
    // `loom-hub backup` finds the socket of the embedded database there.
    sharesTemp: true,
  };
  if (print) {
    process.stdout.write(service.print(definition));
    return;
  }
  await service.install(definition);
  const { unit, settings } = service.files;
  console.log(`installed  ${unit}\nsettings   ${settings}`);
  if (scope === "user" && process.platform === "linux") {
    console.error("it ends when you log out, unless: sudo loginctl enable-linger $USER");
  }
}

/** Stops the service and removes it. Its settings, its secrets and its data stay. */
export async function uninstall(args: readonly string[], variables: Variables): Promise<void> {
  const { scope } = parse(args, ["user", "system"]);
  const service = openService({ name: "loom-hub", scope, variables });
  await service.uninstall();
  console.log(`removed  ${service.files.unit}\nkept     ${service.files.config}`);
}

/** Prints the state of the service. @returns Whether it runs. */
export async function status(args: readonly string[], variables: Variables): Promise<boolean> {
  const { scope } = parse(args, ["user", "system"]);
  const service = openService({ name: "loom-hub", scope, variables });
  if (!existsSync(service.files.unit)) {
    console.log(`not installed: there is no ${service.files.unit}`);
    return false;
  }
  const { running, pid, detail } = await service.status();
  console.log(
    `${detail}${pid === null ? "" : `, pid ${pid}`}\nsettings  ${service.files.settings}`,
  );
  return running;
}

function settingsOf(variables: Variables): Record<string, string> {
  const settings = Object.fromEntries(
    Object.entries(variables).filter(
      (entry): entry is [string, string] => SETTING.test(entry[0]) && !!entry[1]?.trim(),
    ),
  );
  // A service starts in another folder than this shell.
  for (const name of ["LOOM_DATA_DIR", "LOOM_WORKFLOWS_DIR"]) {
    if (settings[name]) settings[name] = path.resolve(settings[name]);
  }
  return settings;
}
