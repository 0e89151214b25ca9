// npm run bench -- placement
//
// Measures what placing costs, compared with asking every node for every job. Writes bench/results/placement.md and placement-cost.svg beside it.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import os from "node:os";
import { fileURLToPath } from "node:url";
import type { Measured } from "./measure.ts";
import { plot } from "./plot.ts";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

interface Workload {
  readonly jobs: number;
  readonly nodes: number;
  readonly needs: number;
  readonly slots: number;
}

function measure(way: string, { jobs, nodes, needs, slots }: Workload): Measured {
  const sizes = [jobs, nodes, needs, slots].map(String);
  const printed = execFileSync(
    process.execPath,
    [...process.execArgv, path("measure.ts"), way, ...sizes],
    { encoding: "utf8" },
  );
  const measured = JSON.parse(printed) as Measured;
  console.error(way, ...sizes, measured);
  return measured;
}

const C2M: Workload = { jobs: 2_000_000, nodes: 6_100, needs: 50, slots: 328 };
const LARGE: Workload = { jobs: 100_000, nodes: 10_000, needs: 50, slots: 10 };
/** As many jobs of the large workload as can be compared with every node in a reasonable time. */
const SAMPLE: Workload = { ...LARGE, jobs: 500 };

const c2m = measure("place", C2M);
const large = [1, 2, 3]
  .map(() => measure("place", LARGE))
  .sort((a, b) => a.ms - b.ms)[1] as Measured;
const slow = measure("all-pairs", SAMPLE);
const fast = measure("place", SAMPLE);
const same = measure("compare", SAMPLE);
const explained = measure("explain", { jobs: 0, nodes: 10_000, needs: 1, slots: 10 });

const JOBS = [1_000, 10_000, 100_000, 1_000_000];
const NODES = [100, 300, 1_000, 3_000, 10_000];
const byJobs = JOBS.map(
  (jobs) => [jobs, measure("place", { ...LARGE, jobs, nodes: 2_000, slots: 500 }).ms] as const,
);
const byNodes = NODES.map(
  (nodes) => [nodes, measure("place", { ...LARGE, nodes, slots: 1_000 }).ms] as const,
);
const pairsByJobs = [100, 300, 1_000].map(
  (jobs) => [jobs, measure("all-pairs", { ...LARGE, jobs, nodes: 2_000, slots: 500 }).ms] as const,
);
const pairsByNodes = NODES.slice(0, 4).map(
  (nodes) =>
    [nodes, measure("all-pairs", { ...LARGE, jobs: 1_000, nodes, slots: 1_000 }).ms] as const,
);

const perPairNs = (slow.ms * 1e6) / (SAMPLE.jobs * SAMPLE.nodes);
const ms = (value: number) => `${Math.round(value).toLocaleString("en")} ms`;
const projected = (workload: Workload) =>
  `${Math.round((perPairNs * workload.jobs * workload.nodes) / 1e9).toLocaleString("en")} s (projected)`;

const blue = "#1f6feb";
const red = "#cf222e";
writeFileSync(
  path("../results/placement-cost.svg"),
  plot("Time of placing against jobs and against nodes", [
    {
      x: "jobs (2,000 nodes, 50 different needs)",
      series: [
        { title: "place", colour: blue, points: byJobs },
        { title: "every job asks every node", colour: red, points: pairsByJobs },
      ],
    },
    {
      x: "nodes (50 different needs)",
      series: [
        { title: "place, 100,000 jobs", colour: blue, points: byNodes },
        { title: "every job asks every node, 1,000 jobs", colour: red, points: pairsByNodes },
      ],
    },
  ]),
);

mkdirSync(path("../results"), { recursive: true });
const report = `# What does placing cost?

\`npm run bench -- placement\` on ${os.cpus().length} × ${os.cpus()[0]?.model ?? "unknown CPU"}, Node ${process.versions.node}, ${new Date().toISOString().slice(0, 10)}.
Each figure is from one process with one thread. Memory is the peak of the whole process, including the workload.

| workload | \`place\` | every job asks every node |
| --- | --- | --- |
| 2,000,000 jobs onto 6,100 nodes in 3 datacentres, 50 different needs (${c2m.placed.toLocaleString("en")} placed) | ${ms(c2m.ms)}, ${Math.round(c2m.peakMb)} MB | ${projected(C2M)} |
| 100,000 jobs onto 10,000 nodes, 50 different needs (${large.placed.toLocaleString("en")} placed), median of 3 | ${ms(large.ms)}, ${Math.round(large.peakMb)} MB | ${projected(LARGE)} |
| ${SAMPLE.jobs} jobs onto 10,000 nodes, 50 different needs | ${ms(fast.ms)} | ${ms(slow.ms)} (${Math.round(perPairNs)} ns a pair) |
| explain one job over 10,000 nodes, just read: median of 10, first call of a process | ${ms(explained.ms)}, ${ms(explained.firstMs)} | |

Both ways use the same rules. For the ${SAMPLE.jobs} jobs they chose the same node ${same.placed} times.

| jobs onto 2,000 nodes | ${byJobs.map(([jobs]) => jobs.toLocaleString("en")).join(" | ")} |
| --- | ${byJobs.map(() => "---").join(" | ")} |
| \`place\` | ${byJobs.map(([, time]) => ms(time)).join(" | ")} |

| 100,000 jobs onto nodes | ${byNodes.map(([nodes]) => nodes.toLocaleString("en")).join(" | ")} |
| --- | ${byNodes.map(() => "---").join(" | ")} |
| \`place\` | ${byNodes.map(([, time]) => ms(time)).join(" | ")} |

![time against jobs and nodes](placement-cost.svg)
`;
writeFileSync(path("../results/placement.md"), report);
console.log(report);
