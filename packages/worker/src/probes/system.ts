import { readFile } from "node:fs/promises";
import type { Probe } from "./probe.ts";
import { toValue } from "./to-value.ts";

// https://www.freedesktop.org/software/systemd/man/latest/os-release.html: the first that exists.
const FILES = ["/etc/os-release", "/usr/lib/os-release"];

/** What the machine runs: `node-version`, and on Linux `distro` and `distro-version`. */
export const system: Probe = {
  name: "system",
  everyMs: 3_600_000,
  async look() {
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
