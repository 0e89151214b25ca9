import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import {
  defaultScope,
  openService,
  type Service,
  serviceProgram,
  serviceUser,
} from "@loom/service";
import { readEnv, withNodeKey } from "../env.ts";
import { joinedKeyFile, readJoined, withJoined } from "../joined.ts";
import { stateDir } from "../state-dir.ts";
import type { Command } from "./parse-command.ts";

type Variables = Readonly<Record<string, string | undefined>>;

const SELF = fileURLToPath(import.meta.url);
/** The program: beside this file where both are one bundle. */
const MAIN = path.join(
  path.dirname(SELF),
  SELF.endsWith(".ts") ? "../main.ts" : `main${path.extname(SELF)}`,
);

/** The secret of the service, as systemd's credential and as a file. */
const KEY = "node-key";

/** Never in the environment of a service: a file of their own, or not wanted there. */
const LEFT_OUT = new Set([
  "LOOM_NODE_KEY",
  "LOOM_NODE_KEY_FILE",
  "LOOM_JOIN_TOKEN",
  "SUPABASE_SERVICE_ROLE_KEY",
  "LOOM_STATE_DIR",
]);

/** Extra time after the grace, for steps that ignore their abort and for last outcomes. */
const LAST_WORDS_MS = 30_000;

const serviceOf = ({ scope = defaultScope() }: Command, variables: Variables): Service =>
  openService({ name: "loom-agent", scope, variables });

/** Makes the agent a service and starts it; with `--print`, shows its description only. */
export async function install(command: Command, variables: Variables): Promise<void> {
  const scope = command.scope ?? defaultScope();
  const service = serviceOf(command, variables);
  // An agent that has joined finds its key in its state folder.
  const folder = stateDir(variables);
  const secrets = readJoined(folder) ? [] : [KEY];
  const env = service.hasSettings(secrets)
    ? undefined
    : readEnv(withJoined(withNodeKey(variables)));
  const { node, main } = serviceProgram(
    { node: process.execPath, main: linkedMain(MAIN) },
    { name: "loom-agent", packageName: "@loom/node-agent", variables },
  );
  const definition = {
    title: "Loom agent: runs steps of workflows on this machine",
    argv: [node, ...process.execArgv, main, "start"],
    runAs: scope === "system" ? serviceUser(variables, command.runAs) : undefined,
    environment: settingsOf(variables),
    secrets: Object.fromEntries(
      secrets.map((name) => [
        name,
        { variable: "LOOM_NODE_KEY_FILE", text: env?.database.nodeKey ?? env?.database.key },
      ]),
    ),
    stopMs: (env?.LOOM_GRACE_MS ?? 20_000) + LAST_WORDS_MS,
    // A wrong environment, a refused key, a name that another machine has.
    finalExitCodes: [2, 4, 6],
  };
  if (command.print) {
    process.stdout.write(service.print(definition));
    return;
  }
  await service.install(definition);
  const { unit, settings, secret } = service.files;
  const key = secrets.length > 0 ? secret(KEY) : joinedKeyFile(folder);
  report(command, { installed: unit, settings, key });
  if (scope === "user" && process.platform === "linux" && !command.json) {
    console.error("it ends when you log out, unless: sudo loginctl enable-linger $USER");
  }
}

/** Stops the service and removes it. */
export async function uninstall(command: Command, variables: Variables): Promise<void> {
  const service = serviceOf(command, variables);
  await service.uninstall();
  report(command, { removed: service.files.unit, kept: service.files.config });
}

/** The program by the link that an upgrade changes, where the hub gave it away: `current` beside `agent-<digest>`. */
function linkedMain(main: string): string {
  const folder = path.dirname(path.dirname(main));
  const link = path.join(path.dirname(folder), "current");
  const isLinked = path.basename(folder).startsWith("agent-") && existsSync(link);
  return isLinked ? path.join(link, path.relative(folder, main)) : main;
}

const settingsOf = (variables: Variables): Record<string, string> =>
  Object.fromEntries(
    Object.entries(variables).filter(
      (entry): entry is [string, string] =>
        /^(LOOM_|SUPABASE_(URL|PUBLISHABLE_KEY|ANON_KEY)$|POLL_INTERVAL_MS$|LOG_LEVEL$)/.test(
          entry[0],
        ) &&
        !LEFT_OUT.has(entry[0]) &&
        !!entry[1]?.trim(),
    ),
  );

function report({ json, verb }: Command, facts: Record<string, string>): void {
  if (json) console.log(JSON.stringify({ schema: `loom.agent-${verb}/v1`, ...facts }));
  else for (const [what, where] of Object.entries(facts)) console.log(`${what}  ${where}`);
}
