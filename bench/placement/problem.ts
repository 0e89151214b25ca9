import type { BatchJob, NodeView } from "@loom/scheduler";

const DATACENTRES = ["paris", "oslo", "rome"];
const CPUS = [4, 8, 16, 32];
const VERSIONS = ["22.18", "24.9", "24.10", "26.0"];

/** Makes nodes in three datacentres that differ as machines do. */
export const makeNodes = (count: number, slots: number): NodeView[] =>
  Array.from({ length: count }, (_, index) => {
    const random = randomOf(index + 1);
    const capabilities = [
      `datacentre=${DATACENTRES[index % 3]}`,
      "docker",
      "os=linux",
      `arch=${random() < 0.2 ? "arm64" : "x86_64"}`,
      `cpus=${CPUS[Math.floor(random() * CPUS.length)]}`,
      `node-version=${VERSIONS[Math.floor(random() * VERSIONS.length)]}`,
    ];
    if (random() < 0.25) capabilities.push("has-gpu", `gpu.vram-gb=${random() < 0.5 ? 12 : 24}`);
    return {
      name: `node-${String(index).padStart(5, "0")}`,
      capabilities,
      online: true,
      lastSeenMs: 400,
      status: "active",
      slots,
      busy: 0,
    };
  });

const CLAUSES = [
  ["datacentre=paris", "datacentre=oslo", "datacentre in (paris, rome)", "!datacentre=rome"],
  ["arch=x86_64", "arch=x86_64", "arch=arm64", "docker"],
  ["cpus>=4", "cpus>=8", "cpus<=16", "os=linux"],
  ["node-version>=24", "docker", "os in (linux, darwin)", "has-gpu | cpus>=16"],
];

/** Makes up to 256 different sets of requirements. */
export const makeNeeds = (count: number): string[][] =>
  Array.from({ length: count }, (_, index) =>
    CLAUSES.map((choice, digit) => choice[Math.floor(index / 4 ** digit) % 4] as string),
  );

/** Makes jobs of a thousand runs. Each has its own array of requirements, as if read from a database. */
export function makeJobs(count: number, needs: readonly string[][]): BatchJob[] {
  const random = randomOf(7);
  return Array.from({ length: count }, (_, id) => ({
    id,
    requires: [...(needs[Math.floor(random() * needs.length)] as string[])],
    run: `run-${id % 1_000}`,
  }));
}

/** Mulberry32: the same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed * 0x9e3779b9;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
