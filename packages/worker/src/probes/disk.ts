import { statfs } from "node:fs/promises";
import type { Probe } from "./probe.ts";

/**
 * Free space where the folder is: `disk-free-gb`, rounded down to a power of two. Told exactly,
 * it would be another one every minute, and offers would be placed again each time.
 */
export const disk = (folder: string): Probe => ({
  name: "disk",
  everyMs: 60_000,
  async look() {
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
