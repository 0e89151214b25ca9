import { createHash, randomUUID } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import {
  availableParallelism,
  homedir,
  hostname,
  machine,
  platform,
  release,
  totalmem,
  uptime,
} from "node:os";
import path from "node:path";
import type { NodeMachine } from "@loom/queue";
import type { Log } from "./log.ts";

export interface Machine {
  /** The host name as a node name: lower case, first label only, other characters as hyphens. */
  name: string;
  /** `os=linux`, `arch=x86_64`, `cpus=8`, `memory-gb=15`. */
  capabilities: string[];
  facts: Record<string, unknown>;
}

/** Describes this machine, as far as Node knows it without waiting. */
export function describeMachine(): Machine {
  const cpus = availableParallelism();
  const memoryBytes = totalmem();
  const label = hostname().split(".")[0] ?? "";
  const name = label
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, "-")
    .slice(0, 63)
    .replace(/^-+|-+$/g, "");
  return {
    name: name || "node",
    capabilities: [
      `os=${platform()}`,
      `arch=${machine()}`,
      `cpus=${cpus}`,
      // Rounded down: a machine sold with 16 GiB shows a little less.
      `memory-gb=${Math.floor(memoryBytes / 2 ** 30)}`,
    ],
    facts: {
      os: { platform: platform(), release: release() },
      arch: machine(),
      cpus,
      memoryBytes,
      node: process.versions.node,
    },
  };
}

/** The user's home folder. Undefined for a user without HOME who is not in the list of users. */
export function homeFolder(): string | undefined {
  try {
    const folder = homedir();
    return path.isAbsolute(folder) ? folder : undefined;
  } catch {
    return undefined;
  }
}

const FILE = "machine.json";
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The content of the file. */
interface Kept {
  /** The machine's id, a UUID. */
  id: string;
  /** The first name of the machine, unless a name was always given. */
  name?: string | undefined;
  /** The stable id of the machine in the tailnet. */
  tailnetId?: string | undefined;
  /** A digest of the operating system's id. */
  systemId?: string | undefined;
}

/** A machine's name in the tailnet and its stable id there. */
export interface TailnetIdentity {
  name: string;
  id: string;
}

/** The identity of a machine, which it keeps with its state folder. */
export interface MachineIdentity {
  /** The node's name. */
  name: string;
  /** The machine as it is now. */
  machine: () => NodeMachine;
}

/**
 * Reads the machine's identity from a file in its state folder. The first start creates the file.
 *
 * The name is the given one, else the first that the machine had. A later name of the tailnet or the
 * host changes nothing, so the machine stays one node. A folder that was copied from another machine
 * has the other's file, which is replaced. It was copied when the operating system's id differs and the
 * tailnet does not know the machine by the same stable id.
 *
 * @param folder - Created if it is missing.
 * @param options.name - The name that a person gave the node.
 * @param options.tailnet - Asks the tailnet. Resolves to undefined while the answer is unknown.
 * @throws The system's error when the folder cannot be read or written.
 */
export async function keepIdentity(
  folder: string,
  {
    name,
    tailnet,
    log,
    systemId = readSystemId,
  }: {
    name: string | undefined;
    tailnet: () => Promise<TailnetIdentity | undefined>;
    log: Log;
    systemId?: () => string | undefined;
  },
): Promise<MachineIdentity> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const file = path.join(folder, FILE);
  const before = read(file);
  const system = systemId();
  const isOtherSystem =
    before?.systemId !== undefined && system !== undefined && before.systemId !== system;
  // A machine with a given name starts without asking the tailnet.
  const inTailnet = name === undefined || isOtherSystem ? await tailnet() : undefined;
  // When the tailnet knows it as before, its system was installed again.
  const isCopied =
    isOtherSystem && (before?.tailnetId === undefined || before.tailnetId !== inTailnet?.id);
  if (isCopied) {
    log.warn(
      { file, was: before?.id },
      "the state folder was copied from another machine: this one gets an id of its own",
    );
    rmSync(file, { force: true });
  } else if (read(file) === undefined && existsSync(file)) {
    log.warn(
      { file },
      "the file that says which machine this is cannot be read: it is created again",
    );
    rmSync(file, { force: true });
  }
  const known = read(file) ?? create(file, { id: randomUUID() });
  const complete: Kept = {
    ...known,
    name: known.name ?? (name === undefined ? firstName(inTailnet) : undefined),
    tailnetId: inTailnet?.id ?? known.tailnetId,
    systemId: system ?? known.systemId,
  };
  if (JSON.stringify(complete) !== JSON.stringify(known)) {
    write(file, complete, (unfinished) => renameSync(unfinished, file));
  }
  const { id } = complete;
  const boot = readBoot();
  return {
    name: name ?? complete.name ?? firstName(inTailnet),
    machine: () => ({ id, boot, upMs: Math.round(uptime() * 1_000), host: hostname() }),
  };
}

const firstName = (tailnet: TailnetIdentity | undefined): string =>
  tailnet?.name ?? describeMachine().name;

function read(file: string): Kept | undefined {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    const identity = JSON.parse(text) as Kept;
    return UUID.test(identity.id) ? identity : undefined;
  } catch {
    return undefined;
  }
}

/** Creates the file. When two agents do so at once, both get the first one's content. */
function create(file: string, identity: Kept): Kept {
  write(file, identity, (unfinished) => {
    try {
      linkSync(unfinished, file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  });
  return read(file) ?? identity;
}

/** Writes a file durably under another name, which nobody can foresee and nothing has, and then renames it. */
function write(file: string, identity: Kept, rename: (unfinished: string) => void): void {
  const unfinished = `${file}.${randomUUID()}.part`;
  try {
    const handle = openSync(unfinished, "wx", 0o600);
    try {
      writeSync(handle, `${JSON.stringify(identity, null, 2)}\n`);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    rename(unfinished);
  } finally {
    rmSync(unfinished, { force: true });
  }
}

/** A digest of machine-id(5), which must not be shown to others as it is. */
function readSystemId(): string | undefined {
  // A container has the id of its image, or a new one each time.
  if (existsSync("/.dockerenv") || existsSync("/run/.containerenv")) return undefined;
  for (const file of ["/etc/machine-id", "/var/lib/dbus/machine-id"]) {
    const id = readText(file);
    if (id && /^[0-9a-f]{32}$/.test(id)) {
      return createHash("sha256").update(`loom ${id}`).digest("hex");
    }
  }
  return undefined;
}

/** The boot id of random(4). Undefined outside Linux. */
const readBoot = (): string | undefined => readText("/proc/sys/kernel/random/boot_id");

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return undefined;
  }
}
