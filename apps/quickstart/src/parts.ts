import { appendFileSync, mkdirSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type ChildProcessHandle, startProcess } from "@loom/local-db";

/** A part of the system in a process of its own. */
export interface Part {
  process: ChildProcessHandle;
  /** Resolves with the facts of the first log line that has this message. */
  said(message: string): Promise<Record<string, unknown>>;
}

/**
 * Starts the program of an app, with its log in `<logDir>/<name>.log`.
 *
 * @param app - The module specifier of its main file.
 */
export async function startPart(
  name: string,
  app: string,
  { env, logDir }: { env: NodeJS.ProcessEnv; logDir: string },
): Promise<Part> {
  mkdirSync(logDir, { recursive: true });
  const file = path.join(logDir, `${name}.log`);
  const waiting = new Map<string, (facts: Record<string, unknown>) => void>();
  const child = await startProcess(
    process.execPath,
    ["--conditions=@loom/source", fileURLToPath(import.meta.resolve(app))],
    {
      name,
      env,
      stopSignal: "SIGTERM",
      graceMs: 30_000,
      onLine(line) {
        appendFileSync(file, `${line}\n`);
        const facts = parseLine(line);
        if (typeof facts?.msg === "string") waiting.get(facts.msg)?.(facts);
      },
    },
  );
  return {
    process: child,
    said: (message) =>
      new Promise((resolve, reject) => {
        waiting.set(message, resolve);
        void child.exited.then(({ code, log }) =>
          reject(new Error(`${name} ended with code ${code} before it was ready:\n${log}`)),
        );
      }),
  };
}

function parseLine(line: string): Record<string, unknown> | undefined {
  if (!line.startsWith("{")) return undefined;
  try {
    return JSON.parse(line) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
