import { execFile } from "node:child_process";
import { appendFileSync, mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import {
  type ChildProcessHandle,
  type KeepRunningOptions,
  type KeptProcess,
  keepRunning,
  startProcess,
} from "@loom/local-db";

/** The settings with which one program of the system is started. */
export interface PartOptions extends KeepRunningOptions {
  name: string;
  /** The module specifier of its main file. */
  app: string;
  /** The message of the log line that says that it is there. */
  ready: string;
  logDir: string;
  /** Called with each line of its log that is JSON. */
  onFacts?: (facts: Record<string, unknown>) => void;
  /** Asked at every start. */
  env: () => NodeJS.ProcessEnv;
}

/** A part of the system in its own process, which is restarted when it ends by itself. */
export interface Part extends KeptProcess {
  /** The facts of the log line that reported its first start. */
  facts: Record<string, unknown>;
}

/**
 * Runs the program of an app to its end.
 *
 * @returns What it printed.
 * @throws Error with what it printed as errors.
 */
export async function runProgram(app: string): Promise<string> {
  const { stdout } = await run(process.execPath, argumentsOf(app));
  return stdout.trim();
}

/**
 * Starts the program of an app and waits until it is there. Its log is in `<logDir>/<name>.log`.
 *
 * @throws Error with the end of its log when it ends before.
 */
export async function startPart({ onEnd, onBack, ...part }: PartOptions): Promise<Part> {
  mkdirSync(part.logDir, { recursive: true });
  let first: Record<string, unknown> | undefined;
  const kept = await keepRunning(
    async (began) => {
      const { child, facts } = await startOnce(part, began);
      first ??= facts;
      return child;
    },
    { onEnd, onBack },
  );
  return { ...kept, facts: first ?? {} };
}

async function startOnce(
  {
    name,
    app,
    ready,
    logDir,
    env,
    onFacts = () => {},
  }: Omit<PartOptions, keyof KeepRunningOptions>,
  began: (process: ChildProcessHandle) => void,
) {
  const file = path.join(logDir, `${name}.log`);
  const said = Promise.withResolvers<Record<string, unknown>>();
  const child = await startProcess(process.execPath, argumentsOf(app), {
    name,
    env: env(),
    stopSignal: "SIGTERM",
    graceMs: 30_000,
    onLine(line) {
      appendFileSync(file, `${line}\n`);
      const facts = parseLine(line);
      if (facts) onFacts(facts);
      if (facts?.msg === ready) said.resolve(facts);
    },
  });
  began(child);
  void child.exited.then(({ code, signal, log }) =>
    said.reject(
      new Error(
        describeEnd(log) ||
          `${name} ended before it was ready (${signal ?? `exit code ${code}`}):\n${log}`,
      ),
    ),
  );
  return { child, facts: await said.promise };
}

const run = promisify(execFile);

/** What it allocates for a moment may take this much, in MiB, before it is collected; Node's own limit is 16. */
const YOUNG_MIB = 2;

const argumentsOf = (app: string): string[] => [
  "--conditions=@loom/source",
  `--max-semi-space-size=${YOUNG_MIB}`,
  fileURLToPath(new URL("./compiled.mjs", import.meta.url)),
  fileURLToPath(import.meta.resolve(app)),
];

/** What a program said for people when it ended: the lines of its output that are not its log. */
const describeEnd = (output: string): string =>
  output
    .split("\n")
    .filter((line) => !line.startsWith("{"))
    .join("\n")
    .trim();

function parseLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
