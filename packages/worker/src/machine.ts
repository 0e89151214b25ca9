import { availableParallelism, hostname, machine, platform, release, totalmem } from "node:os";

export interface Machine {
  /** The host name as a node name: lower case, first label only, other characters as hyphens. */
  name: string;
  /** `os=linux`, `arch=x86_64`, `cpus=8`, `memory-gb=15`. */
  capabilities: string[];
  facts: Record<string, unknown>;
}

/** What this machine is, as far as Node knows it at once. */
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
