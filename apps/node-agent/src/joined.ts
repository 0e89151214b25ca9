import { randomUUID } from "node:crypto";
import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import path from "node:path";
import type { Joined } from "@loom/client";
import { joinedSchema } from "@loom/client/schemas";
import { EnvError, type Variables } from "@loom/program";
import { isNodeKeyShaped, makeNodeKey } from "@loom/queue";
import { keyFileOf } from "./env.ts";
import { JoinError } from "./errors.ts";
import { stateDir } from "./state-dir.ts";

const HUB_FILE = "hub.json";
const KEY_FILE = "node-key";
const NEXT_KEY_FILE = "node-key.next";
const OLD_KEY_FILE = "node-key.old";

/** The file with the key that a join left in a state folder. */
export const joinedKeyFile = (folder: string): string => path.join(folder, KEY_FILE);

/**
 * Reads the settings that a machine got when it joined; undefined if it has not joined.
 *
 * @throws EnvError when the file is there and cannot be read.
 */
export function readJoined(folder: string): Joined | undefined {
  const file = path.join(folder, HUB_FILE);
  const text = readText(file);
  if (text === undefined) return undefined;
  try {
    return joinedSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new EnvError(
      `${file} does not say which hub this machine joined: remove it, and run loom-agent join HUB`,
      { cause },
    );
  }
}

/** The key of a machine that has joined; undefined when there is none. */
export const readJoinedKey = (folder: string): string | undefined =>
  readText(path.join(folder, KEY_FILE))?.trim();

/**
 * The key that a machine is about to join with, or to change to: a new one, or that of a request whose answer was
 * lost, so that the hub recognises it.
 */
export function nextKey(folder: string): string {
  const file = path.join(folder, NEXT_KEY_FILE);
  const before = readText(file)?.trim();
  if (before !== undefined && isNodeKeyShaped(before)) return before;
  const key = makeNodeKey();
  writePrivate(file, `${key}\n`);
  return key;
}

/** Forgets the key of a join or a change that was refused: the next one begins anew. */
export const dropNextKey = (folder: string): void =>
  rmSync(path.join(folder, NEXT_KEY_FILE), { force: true });

/** Keeps what the hub answered, and the key that it knows now. A join that ends in between goes on there. */
export function keepJoined(folder: string, joined: Joined): void {
  writePrivate(path.join(folder, HUB_FILE), `${JSON.stringify(joined, null, 2)}\n`);
  renameSync(path.join(folder, NEXT_KEY_FILE), path.join(folder, KEY_FILE));
}

/** Keeps the next key as the key. The one of before stays in a file of its own until it is revoked. */
export function keepNextKey(folder: string): void {
  const before = readJoinedKey(folder);
  if (before !== undefined) writePrivate(path.join(folder, OLD_KEY_FILE), `${before}\n`);
  renameSync(path.join(folder, NEXT_KEY_FILE), path.join(folder, KEY_FILE));
}

/** The key that a change replaced and has not revoked; undefined when there is none. */
export function readOldKey(folder: string): string | undefined {
  const old = readText(path.join(folder, OLD_KEY_FILE))?.trim();
  // A change that ended between its two files has replaced nothing.
  return old === readJoinedKey(folder) ? undefined : old;
}

/** Forgets the key that a change replaced. */
export const dropOldKey = (folder: string): void =>
  rmSync(path.join(folder, OLD_KEY_FILE), { force: true });

/** Forgets the hub and the key. The machine keeps its id, its name and its journal. */
export function forgetJoined(folder: string): void {
  for (const name of [KEY_FILE, NEXT_KEY_FILE, OLD_KEY_FILE, HUB_FILE]) {
    rmSync(path.join(folder, name), { force: true });
  }
}

/**
 * The variables, completed by what joining left in the state folder. What the environment says counts.
 *
 * The key is for one database: where the environment names another one, nothing of the join is used.
 *
 * @throws EnvError when the environment names another node than the one that joined.
 */
export function withJoined(variables: Variables): Variables {
  const folder = stateDir(variables);
  const joined = readJoined(folder);
  const given = (name: string) => variables[name]?.trim() || undefined;
  if (!joined || (given("SUPABASE_URL") ?? joined.database.url) !== joined.database.url) {
    return variables;
  }
  const name = given("LOOM_NODE_NAME");
  const hasKey = given("LOOM_NODE_KEY") !== undefined || keyFileOf(variables) !== undefined;
  if (!hasKey && name !== undefined && name !== joined.node) {
    throw new EnvError(
      `this machine joined ${joined.hub.url} as ${joined.node}, and LOOM_NODE_NAME is ${name}: leave it out, or run loom-agent leave and join under that name`,
    );
  }
  return {
    ...variables,
    SUPABASE_URL: joined.database.url,
    SUPABASE_PUBLISHABLE_KEY: given("SUPABASE_PUBLISHABLE_KEY") ?? joined.database.publishableKey,
    LOOM_NODE_NAME: name ?? joined.node,
    LOOM_CODE_KEY: given("LOOM_CODE_KEY") ?? joined.codeKey ?? undefined,
    ...(!hasKey && { LOOM_NODE_KEY: readJoinedKey(folder) }),
  };
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    throw new EnvError(`${message}: the agent runs as the user who joined, or as root`);
  }
}

/**
 * Writes a file that only its owner may read: durably, and under another name until it is complete.
 *
 * Root may write it into a folder of the user whom steps run as. So it is a new file under a name that nobody can
 * foresee: never one that is there, or that a link there leads to.
 *
 * @throws JoinError `STATE_UNWRITABLE`, on a full disk for example; the file is as it was.
 */
export function writePrivate(file: string, text: string): void {
  const unfinished = `${file}.${randomUUID()}.part`;
  try {
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
    const handle = openSync(unfinished, "wx", 0o600);
    try {
      writeSync(handle, text);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(unfinished, file);
  } catch (error) {
    throw new JoinError(
      "STATE_UNWRITABLE",
      `${file} cannot be written (${(error as Error).message}): free disk space, or name another folder with LOOM_STATE_DIR, and run this again`,
    );
  } finally {
    rmSync(unfinished, { force: true });
  }
}
