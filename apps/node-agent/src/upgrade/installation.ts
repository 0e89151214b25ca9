import {
  accessSync,
  constants,
  readFileSync,
  realpathSync,
  renameSync,
  symlinkSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** An agent that a hub's script installed: `agent-<digest>` beside the link `current`. */
export interface Installation {
  /** The folder of all its agents. */
  readonly folder: string;
  /** The archive that this agent came in, by its SHA-256. */
  readonly digest: string;
  /** The later of two agents has the higher one; 0 when the script did not say. */
  readonly sequence: number;
}

const NAME = /^agent-([0-9a-f]{64})$/;
const LINK = "current";
const SEQUENCE = "sequence";

/** Where an agent of an installation keeps its sequence number. */
export const sequenceFile = (agent: string): string => path.join(agent, SEQUENCE);

/** The folder of one agent. */
export const agentFolder = (folder: string, digest: string): string =>
  path.join(folder, `agent-${digest}`);

/** The program of one agent. */
export const mainOf = (folder: string, digest: string): string =>
  path.join(agentFolder(folder, digest), "lib", "main.mjs");

/** The installation that this process runs from; undefined where it was installed in another way. */
export function findInstallation(file = fileURLToPath(import.meta.url)): Installation | undefined {
  const own = path.dirname(path.dirname(file));
  const digest = NAME.exec(path.basename(own))?.[1];
  const folder = path.dirname(own);
  if (digest === undefined || presentDigest(folder) === undefined) return undefined;
  return { folder, digest, sequence: readSequence(own) };
}

/** The agent that starts here next; undefined when the link is missing. */
export function presentDigest(folder: string): string | undefined {
  try {
    return NAME.exec(path.basename(realpathSync(path.join(folder, LINK))))?.[1];
  } catch {
    return undefined;
  }
}

/** Makes another agent the one that starts here. There is one at every moment. */
export function makePresent(folder: string, digest: string): void {
  const unfinished = path.join(folder, `${LINK}.${process.pid}.part`);
  symlinkSync(`agent-${digest}`, unfinished);
  renameSync(unfinished, path.join(folder, LINK));
}

/** Whether this user may put another agent there. */
export function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function readSequence(agent: string): number {
  try {
    return Number(readFileSync(sequenceFile(agent), "utf8")) || 0;
  } catch {
    return 0;
  }
}
