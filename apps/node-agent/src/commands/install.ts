import { execFile } from "node:child_process";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { EnvError, readEnv } from "../env.ts";
import { PreconditionError } from "../errors.ts";
import { withNodeKey } from "../node-key.ts";
import { type ServiceFiles, serviceFiles, serviceUser } from "../unit/service-files.ts";
import { environmentFile, systemdUnit } from "../unit/systemd-unit.ts";
import type { Command } from "./parse-command.ts";

type Variables = Readonly<Record<string, string | undefined>>;

const MAIN = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "../main.ts" : "main.js", import.meta.url),
);

/** Never in the environment of a service: a file of their own, or not wanted there. */
const LEFT_OUT = new Set(["LOOM_NODE_KEY", "LOOM_NODE_KEY_FILE", "LOOM_STATE_DIR"]);

const scopeOf = ({ scope }: Command): "user" | "system" =>
  scope ?? (process.getuid?.() === 0 ? "system" : "user");

/** Makes the agent a service of systemd and starts it; with `--print`, shows the unit only. */
export async function install(command: Command, variables: Variables): Promise<void> {
  const files = serviceFiles(scopeOf(command), variables);
  const env = hasSettings(files) ? undefined : readEnv(withNodeKey(variables));
  const unit = systemdUnit({
    argv: [process.execPath, ...process.execArgv, MAIN, "start"],
    runAs: files.scope === "system" ? serviceUser(variables, command.runAs) : undefined,
    envFile: files.envFile,
    keyFile: files.keyFile,
    graceMs: env?.LOOM_GRACE_MS ?? 20_000,
  });
  if (command.print) {
    process.stdout.write(unit);
    return;
  }
  if (env) {
    writePrivate(files.envFile, environmentFile(settingsOf(variables)));
    writePrivate(files.keyFile, `${env.LOOM_NODE_KEY}\n`);
  }
  mkdirSync(path.dirname(files.unit), { recursive: true });
  writeFileSync(files.unit, unit);
  await systemctl(files, "daemon-reload");
  await systemctl(files, "enable", "--now", path.basename(files.unit));
  report(command, { installed: files.unit, settings: files.envFile, key: files.keyFile });
  if (files.scope === "user" && !command.json) {
    console.error("it ends when you log out, unless: sudo loginctl enable-linger $USER");
  }
}

/** Stops the service and removes its unit. */
export async function uninstall(command: Command, variables: Variables): Promise<void> {
  const files = serviceFiles(scopeOf(command), variables);
  if (!existsSync(files.unit)) {
    throw new PreconditionError(`there is no ${files.unit}: nothing is installed`);
  }
  await systemctl(files, "disable", "--now", path.basename(files.unit));
  rmSync(files.unit);
  await systemctl(files, "daemon-reload");
  report(command, { removed: files.unit, kept: path.dirname(files.envFile) });
}

/** Settings that are there are left as they are: somebody may have edited them. */
const hasSettings = ({ envFile, keyFile }: ServiceFiles): boolean =>
  existsSync(envFile) && existsSync(keyFile);

const settingsOf = (variables: Variables): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).filter(
      (entry): entry is [string, string] =>
        /^(LOOM_|SUPABASE_URL$|POLL_INTERVAL_MS$|LOG_LEVEL$)/.test(entry[0]) &&
        !LEFT_OUT.has(entry[0]) &&
        !!entry[1]?.trim(),
    ),
  );

function writePrivate(file: string, text: string): void {
  if (/\0/.test(text)) throw new EnvError("a setting holds a NUL");
  mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, text, { mode: 0o600 });
}

async function systemctl(files: ServiceFiles, ...args: string[]): Promise<void> {
  const all = [...files.systemctl, ...args];
  await promisify(execFile)("systemctl", all).catch((error: Error & { stderr?: string }) => {
    const said = error.stderr?.trim() || error.message;
    throw new PreconditionError(
      `systemctl ${all.join(" ")} failed: ${said}. The unit is ${files.unit}; without systemd, run loom-agent start under another supervisor`,
    );
  });
}

function report({ json, verb }: Command, facts: Record<string, string>): void {
  if (json) console.log(JSON.stringify({ schema: `loom.agent-${verb}/v1`, ...facts }));
  else for (const [what, where] of Object.entries(facts)) console.log(`${what}  ${where}`);
}
