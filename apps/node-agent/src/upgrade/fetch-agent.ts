import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { digestOf, isDigest, verifyStatement } from "@loom/code";
import { z } from "zod";
import { UpgradeError } from "../errors.ts";
import {
  agentFolder,
  type Installation,
  isWritable,
  mainOf,
  sequenceFile,
} from "./installation.ts";

const MAX_BYTES = 16 * 1024 * 1024;
const ANSWER_MS = 30_000;
/** How long a hub may be away. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 2_000;
const LOAD_MS = 30_000;

/** What a hub says about the agent that it gives away. */
const offer = z.object({
  version: z.string(),
  digest: z.string().refine(isDigest),
  sequence: z.int(),
  signature: z.string(),
});
export type AgentOffer = z.output<typeof offer>;

/** The hub that a machine joined, as far as its agent is concerned. */
export interface AgentSource {
  url: string;
  /** The public half of the key that it signs with. */
  publicKey: string;
}

/**
 * Asks the hub which agent it has, and checks that the hub signed that.
 *
 * @throws UpgradeError `HUB_AWAY`, `AGENT_SIGNATURE_REFUSED`.
 */
export async function askForAgent(
  { url, publicKey }: AgentSource,
  signal: AbortSignal,
): Promise<AgentOffer> {
  const bytes = await get(`${url}/agent`, signal);
  const said = offer.safeParse(toJson(bytes)).data;
  const isSigned =
    said !== undefined &&
    verifyStatement(
      {
        ...{ kind: "agent", name: said.version, digest: said.digest },
        ...{ manifestDigest: "", sequence: said.sequence },
      },
      said.signature,
      publicKey,
    );
  if (isSigned) return said;
  throw new UpgradeError(
    "AGENT_SIGNATURE_REFUSED",
    `the agent that ${url} offers is not signed by the hub that this machine joined, and is not taken: if the hub has a new key, let the machine join again`,
  );
}

/**
 * Puts an agent beside this one, complete or not at all, and tries whether it loads here.
 *
 * @throws UpgradeError `AGENT_OLDER`, `AGENT_UNWRITABLE`, `AGENT_DIGEST_MISMATCH`, `AGENT_UNUSABLE`, `HUB_AWAY`.
 */
export async function installAgent(
  { version, digest, sequence }: AgentOffer,
  {
    source,
    installed,
    signal,
  }: { source: AgentSource; installed: Installation; signal: AbortSignal },
): Promise<void> {
  const { folder } = installed;
  // A hub whose clock or state went back, or somebody who replays what it once signed.
  if (sequence <= installed.sequence) {
    throw new UpgradeError(
      "AGENT_OLDER",
      `the hub's agent ${version} (${sequence}) is not newer than the one that runs here (${installed.sequence}), and is not taken: to go back on purpose, run the hub's script again`,
    );
  }
  if (!isWritable(folder)) {
    throw new UpgradeError(
      "AGENT_UNWRITABLE",
      `${folder} belongs to another user than the one that the agent runs as: run the hub's line there again as root, curl -fsS ${source.url}/join | sudo sh`,
    );
  }
  const unwritable = (cause: unknown): never => {
    throw new UpgradeError(
      "AGENT_UNWRITABLE",
      `the new agent cannot be unpacked in ${folder} (${reasonOf(cause)}): make room there, and ask again`,
      { cause },
    );
  };
  const place = agentFolder(folder, digest);
  if (!existsSync(place)) {
    const archive = await get(`${source.url}/agent/${digest}.tgz`, signal);
    if (digestOf(archive) !== digest) {
      throw new UpgradeError(
        "AGENT_DIGEST_MISMATCH",
        `the agent ${digest} holds other bytes than its name says: it was changed or cut off on its way, and is not taken`,
      );
    }
    await unpack(archive, place).catch(unwritable);
  }
  await writeFile(sequenceFile(place), `${sequence}\n`).catch(unwritable);
  await promisify(execFile)(process.execPath, [mainOf(folder, digest), "--help"], {
    timeout: LOAD_MS,
    signal,
  }).catch((cause: unknown) => {
    throw new UpgradeError(
      "AGENT_UNUSABLE",
      `the new agent ${version} does not load with Node ${process.version} (${reasonOf(cause)}): the one that runs here stays`,
      { cause },
    );
  });
}

/** Unpacks under another name, which becomes the agent's when all of it is on the disk. */
async function unpack(archive: Buffer, place: string): Promise<void> {
  const unfinished = `${place}.upgrade`;
  try {
    await rm(unfinished, { recursive: true, force: true });
    await mkdir(unfinished);
    const file = path.join(unfinished, "archive");
    await writeFile(file, archive);
    await promisify(execFile)("tar", ["-xzf", file, "-C", unfinished]);
    await rm(file);
    for (const entry of await readdir(unfinished, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const handle = await open(path.join(entry.parentPath, entry.name));
      await handle.sync();
      await handle.close();
    }
    await rename(unfinished, place);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** Gets a file of the hub, for a minute at most while it does not answer or its answer breaks off. */
async function get(url: string, signal: AbortSignal): Promise<Buffer> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return await getOnce(url, signal);
    } catch (cause) {
      signal.throwIfAborted();
      if (performance.now() > deadline) {
        throw new UpgradeError(
          "HUB_AWAY",
          `${url} cannot be fetched (${reasonOf(cause)}): the agent that runs here stays; ask again when the hub is there`,
          { cause },
        );
      }
    }
    await sleep(PAUSE_MS, undefined, { signal });
  }
}

async function getOnce(url: string, signal: AbortSignal): Promise<Buffer> {
  const answer = await fetch(url, {
    redirect: "error",
    signal: AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]),
  });
  if (!answer.ok || !answer.body) throw new Error(`HTTP ${answer.status}`);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of answer.body) {
    parts.push(part);
    bytes += part.length;
    if (bytes > MAX_BYTES) throw new Error(`it holds more than ${MAX_BYTES} bytes`);
  }
  return Buffer.concat(parts);
}

function toJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** The first line of what went wrong. */
function reasonOf(error: unknown): string {
  const { message, cause, stderr } = error as Error & { stderr?: string };
  const said = stderr?.trim() || (cause instanceof Error ? cause.message : message);
  return said.split("\n", 1)[0]?.slice(0, 300) ?? "";
}
