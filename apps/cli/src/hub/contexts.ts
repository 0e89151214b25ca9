import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";
import { CliError } from "../errors.ts";

/** A hub that somebody logged in to. */
interface Context {
  /** As `new URL` prints it. The token is sent nowhere else. */
  url: string;
  /** Missing where the hub lets this machine or this person in without one. */
  token?: string;
}

/** The saved hubs, and which of them commands talk to. */
export interface Contexts {
  current: string | null;
  contexts: Record<string, Context>;
}

/** `LOOM_CONFIG_DIR`, or `loom` in the folder for settings of this user. */
export function contextsFile(env: NodeJS.ProcessEnv): string {
  const own = env.LOOM_CONFIG_DIR?.trim();
  const base = env.XDG_CONFIG_HOME?.trim() || path.join(env.HOME || homedir(), ".config");
  return path.join(own || path.join(base, "loom"), "contexts.json");
}

/**
 * Reads the saved hubs; none where the file is missing.
 *
 * @throws CliError `CONTEXTS_EXPOSED` when others could read the tokens, `CONTEXTS_UNREADABLE`.
 */
export function readContexts(env: NodeJS.ProcessEnv): Contexts {
  const file = contextsFile(env);
  let text: string;
  try {
    // Windows has no such modes.
    if (process.platform !== "win32" && (statSync(file).mode & 0o077) !== 0) {
      throw new CliError("CONTEXTS_EXPOSED", {
        what: `other users may read ${file}`,
        why: "it holds tokens, and its mode is not 0600",
        fix: `chmod 600 ${file}`,
      });
    }
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { current: null, contexts: {} };
    if (error instanceof CliError) throw error;
    throw unreadable(file, (error as Error).message);
  }
  try {
    // An editor of Windows may have put a mark in front.
    const { current, contexts } = JSON.parse(text.replace(/^\ufeff/, "")) as Contexts;
    for (const { url, token } of Object.values(contexts)) {
      new URL(url);
      if (token !== undefined && typeof token !== "string")
        throw new TypeError("a token is no text");
    }
    return { current: current ?? null, contexts };
  } catch (error) {
    throw unreadable(file, (error as Error).message);
  }
}

const unreadable = (file: string, why: string): CliError =>
  new CliError("CONTEXTS_UNREADABLE", {
    what: `${file} cannot be read`,
    why,
    fix: `correct or remove the file, then log in again: loom login http://HOST:PORT`,
  });

/** Writes the saved hubs, in one step, for this user alone. */
export function writeContexts(env: NodeJS.ProcessEnv, contexts: Contexts): void {
  const file = contextsFile(env);
  const next = `${file}.${process.pid}`;
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    writeFileSync(next, `${JSON.stringify({ version: 1, ...contexts }, null, 2)}\n`, {
      mode: 0o600,
    });
    renameSync(next, file);
  } catch (error) {
    rmSync(next, { force: true });
    throw new CliError("FILE_UNWRITABLE", {
      what: `${file} cannot be written`,
      why: (error as Error).message,
      fix: "name a folder that can be written: LOOM_CONFIG_DIR",
      cause: error,
    });
  }
}
