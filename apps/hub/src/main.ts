#!/usr/bin/env node
import { fileURLToPath } from "node:url";
import { createProject } from "@loom/init";
import { EnvError, endWithReader, runProgram } from "@loom/program";
import { migrationScript } from "@loom/queue";
import { backup } from "./commands/backup.ts";
import { install, status, uninstall } from "./commands/install.ts";
import { migrate } from "./commands/migrate.ts";
import { restore } from "./commands/restore.ts";
import { start } from "./commands/start.ts";
import { EX_USAGE, toExit } from "./exit.ts";

/** The built dashboard: the same place from the sources and from what is built of them. */
const DASHBOARD = fileURLToPath(new URL("../dist/dashboard", import.meta.url));

const MAIN = fileURLToPath(import.meta.url);

const USAGE = `usage: loom-hub [command]

  start         serve the API, place jobs, work for this host (the default); without
                SUPABASE_URL also the database, in its own folder
  install   [--user | --system] [--run-as USER] [--print]
                run as a service of this machine, with the settings of this environment
  uninstall [--user | --system]
                stop the service and remove it; settings and data stay
  status    [--user | --system]
                how the service is
  backup FILE   write the database, and what cannot be made again, to a file
  restore FILE  make a data folder from such a file
  migrate       bring the database at DATABASE_URL up to date
  sql           print the migrations as one script, for psql or Supabase's SQL editor
  init FOLDER   create a folder for your own workflows

The environment is described in the README.`;

/** The commands without operands. */
const COMMANDS: Readonly<Record<string, () => Promise<unknown>>> = {
  start: () => start(process.env, { dashboard: DASHBOARD }),
  async migrate() {
    await migrate(readDatabaseUrl());
    console.log("the database is up to date");
  },
  sql: async () => print(await migrationScript()),
};

/** The commands with one operand. */
const FILE_COMMANDS: Readonly<Record<string, (file: string) => Promise<unknown>>> = {
  backup: (file) => backup(file, process.env),
  restore: (file) => restore(file, process.env),
  init: async (folder) => console.log(nextSteps(await createProject(folder))),
};

/** The commands with options. */
const SERVICE_COMMANDS: Readonly<Record<string, (args: readonly string[]) => Promise<unknown>>> = {
  install: (args) => install(args, { given: process.env, main: MAIN }),
  uninstall: (args) => uninstall(args, process.env),
  status: (args) => status(args, process.env),
};

async function main(args: readonly string[]): Promise<number> {
  const [command = "start", ...rest] = args;
  if (command !== "start") endWithReader();
  if (args.includes("--help") || args.includes("-h")) {
    console.log(USAGE);
    return 0;
  }
  const [operand] = rest;
  if (Object.hasOwn(SERVICE_COMMANDS, command)) {
    return (await SERVICE_COMMANDS[command]?.(rest)) === false ? 1 : 0;
  }
  if (operand === undefined && Object.hasOwn(COMMANDS, command)) {
    await COMMANDS[command]?.();
    return 0;
  }
  if (operand !== undefined && rest.length === 1 && Object.hasOwn(FILE_COMMANDS, command)) {
    await FILE_COMMANDS[command]?.(operand);
    return 0;
  }
  console.error(`loom-hub: there is no command "${args.join(" ")}"\n\n${USAGE}`);
  return EX_USAGE;
}

const nextSteps = (folder: string): string => `created ${folder}

  cd ${folder}
  npm install && npm run check && npm test

  LOOM_WORKFLOWS_DIR=${folder} npm start   # where Loom is`;

/** Prints more than a pipe may take at once. */
const print = (text: string): Promise<void> =>
  new Promise((resolve) => process.stdout.write(text, () => resolve()));

function readDatabaseUrl(): string {
  const url = process.env.DATABASE_URL;
  if (url) return url;
  throw new EnvError(
    "loom-hub migrate needs DATABASE_URL: the direct connection of your project, with its password. Without one, run `loom-hub sql` and paste its output into the SQL editor",
  );
}

runProgram(main, toExit);
