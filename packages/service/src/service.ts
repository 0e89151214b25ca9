import { execFile } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { ServiceError } from "./errors.ts";
import { launchd } from "./launchd.ts";
import type {
  Place,
  Run,
  Scope,
  ServiceDefinition,
  ServiceFiles,
  ServiceStatus,
  Step,
} from "./manager.ts";
import { systemd } from "./systemd.ts";

type Variables = Readonly<Record<string, string | undefined>>;

/** The default scope: root's services belong to the machine. */
export const defaultScope = (): Scope => (process.getuid?.() === 0 ? "system" : "user");

/** A service of this machine. */
export interface Service {
  files: ServiceFiles;
  /** Whether settings and secrets of an earlier installation exist. */
  hasSettings(secrets?: readonly string[]): boolean;
  /** The description that `install` would write. */
  print(definition: ServiceDefinition): string;
  /**
   * Writes the files and starts the service. Installing again keeps settings and secrets, and restarts a running
   * service only if its description changed.
   *
   * @throws ServiceError
   */
  install(definition: ServiceDefinition): Promise<void>;
  /**
   * Stops the service and removes its description. Settings and secrets stay.
   *
   * @throws ServiceError when no service is installed.
   */
  uninstall(): Promise<void>;
  status(): Promise<ServiceStatus>;
}

/**
 * Returns a service of systemd, or of launchd on macOS, by its name.
 *
 * @param options.platform - Default: this machine's.
 * @throws ServiceError for a user's service where the user has no home folder.
 */
export function openService({
  name,
  scope,
  variables,
  platform = process.platform,
}: {
  name: string;
  scope: Scope;
  variables: Variables;
  platform?: NodeJS.Platform;
}): Service {
  const manager = platform === "darwin" ? launchd : systemd;
  const place: Place = { name, scope, variables, home: homeFolder };
  const config = manager.configFolder(place);
  const files: ServiceFiles = {
    unit: manager.unitFile(place),
    config,
    settings: path.join(config, `${name.replace(/^loom-/, "")}.env`),
    secret: (secret) => path.join(config, secret),
  };
  const run: Run = async ({ argv: [command, ...args], mayFail }) => {
    try {
      return (await promisify(execFile)(command, args)).stdout;
    } catch (error) {
      if (mayFail) return "";
      const { stderr, message } = error as Error & { stderr?: string };
      throw new ServiceError(
        `${[command, ...args].join(" ")} failed: ${stderr?.trim() || message}. The service is described in ${files.unit}; ${manager.advice}`,
      );
    }
  };
  const runAll = async (steps: readonly Step[]) => {
    for (const step of steps) await run(step);
  };

  return {
    files,
    hasSettings: (secrets = []) =>
      existsSync(files.settings) && secrets.every((secret) => existsSync(files.secret(secret))),
    print: (definition) => manager.text(definition, place, files),

    async install(definition) {
      const text = manager.text(definition, place, files);
      if (!existsSync(files.settings)) {
        writePrivate(files.settings, environmentFile(definition.environment));
      }
      for (const [secret, { text: value }] of Object.entries(definition.secrets ?? {})) {
        if (value !== undefined && !existsSync(files.secret(secret))) {
          writePrivate(files.secret(secret), `${value}\n`);
        }
      }
      if (manager.readsAsUser && scope === "system" && definition.runAs) {
        await run({ argv: ["chown", "-R", definition.runAs, config] });
      }
      const before = existsSync(files.unit) ? readFileSync(files.unit, "utf8") : undefined;
      mkdirSync(path.dirname(files.unit), { recursive: true });
      writeFileSync(files.unit, text, { mode: platform === "darwin" ? 0o600 : 0o644 });
      await runAll(
        manager.start(place, files.unit, {
          isNew: before === undefined,
          isChanged: before !== undefined && before !== text,
        }),
      );
    },

    async uninstall() {
      if (!existsSync(files.unit)) {
        throw new ServiceError(`there is no ${files.unit}: nothing is installed`);
      }
      const { before, after } = manager.stop(place, files.unit);
      await runAll(before);
      rmSync(files.unit);
      await runAll(after);
    },

    status: async () => ({
      installed: existsSync(files.unit),
      ...(await manager.status(place, run)),
    }),
  };
}

function homeFolder(): string {
  try {
    const home = homedir();
    if (path.isAbsolute(home)) return home;
  } catch {
    // This user is not in the list of users.
  }
  throw new ServiceError(
    `this user (uid ${process.getuid?.()}) has no home folder to put a service into: install one of the machine with --system`,
  );
}

function writePrivate(file: string, text: string): void {
  if (/\0/.test(text)) throw new ServiceError(`a value for ${file} holds a NUL`);
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, text, { mode: 0o600 });
}

/** Formats variables as lines of an `EnvironmentFile=`: systemd.exec(5). */
const environmentFile = (variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `${name}="${value.replaceAll(/[\\"$`]/g, "\\$&")}"\n`)
    .join("");
