import { readFile, statfs } from "node:fs/promises";
import { toValue } from "./capabilities.ts";
import type { Probe } from "./probe.ts";

// The first that exists counts: https://www.freedesktop.org/software/systemd/man/latest/os-release.html
const FILES = ["/etc/os-release", "/usr/lib/os-release"];

/** The machine's software: `node-version`, and on Linux `distro` and `distro-version`. */
export const system: Probe = {
  name: "system",
  everyMs: 3_600_000,
  async run() {
    const node = process.versions.node;
    const release = parseOsRelease(await readFirst(FILES));
    return {
      result: "ok",
      capabilities: [
        `node-version=${node}`,
        ...(release.ID ? [`distro=${toValue(release.ID)}`] : []),
        ...(release.VERSION_ID ? [`distro-version=${toValue(release.VERSION_ID)}`] : []),
      ],
      evidence: `${release.PRETTY_NAME ?? process.platform}, Node ${node}`,
    };
  },
};

async function readFirst(files: readonly string[]): Promise<string> {
  for (const file of files) {
    try {
      return await readFile(file, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return "";
}

/** The assignments of an os-release file, without their quotes. */
export const parseOsRelease = (text: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    [...text.matchAll(/^([A-Z_]+)=(["']?)(.*)\2$/gm)].map(([, name = "", , value = ""]) => [
      name,
      value,
    ]),
  );

/**
 * Free space on the folder's file system: `disk-free-gb`, rounded down to a power of two. The exact
 * number would change every minute, and jobs would be placed again each time.
 */
export const disk = (folder: string): Probe => ({
  name: "disk",
  everyMs: 60_000,
  async run() {
    const { bavail, bsize } = await statfs(folder);
    const gigabytes = (bavail * bsize) / 2 ** 30;
    const rounded = gigabytes < 1 ? 0 : 2 ** Math.floor(Math.log2(gigabytes));
    return {
      result: "ok",
      capabilities: [`disk-free-gb=${rounded}`],
      evidence: `${rounded} GiB or more free at ${folder}`,
    };
  },
});
