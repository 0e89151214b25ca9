// Measures one problem in its own process, so that memory is measured for it alone. Prints JSON.
import { type BatchJob, explain, place } from "@loom/scheduler";
import { placeAllPairs } from "./all-pairs.ts";
import { makeJobs, makeNeeds, makeNodes } from "./problem.ts";

/** Times in ms, memory in MB. */
export interface Measured {
  readonly ms: number;
  /** The time of the first run, where `ms` is the median of ten more. */
  readonly firstMs: number;
  readonly placed: number;
  readonly peakMb: number;
}

const [way, jobCount = 0, nodeCount = 0, needCount = 0, slots = 0] = process.argv
  .slice(2)
  .map((argument, index) => (index === 0 ? argument : Number(argument))) as [string, ...number[]];
let nodes = makeNodes(nodeCount, slots);
const jobs = makeJobs(jobCount, makeNeeds(needCount));

const ways: Record<string, () => number> = {
  place: () => place(jobs, nodes).filter(({ placed }) => placed).length,
  "all-pairs": () => placeAllPairs(jobs, nodes).filter((node) => node !== undefined).length,
  // All jobs are of one run, so both ways take them in the same order.
  compare: () => {
    const ofOneRun = jobs.map(({ id, requires }): BatchJob => ({ id, requires, run: "one" }));
    const slow = placeAllPairs(ofOneRun, nodes);
    const fast = place(ofOneRun, nodes).map((each) => (each.placed ? each.node : undefined));
    return fast.filter((node, index) => node === slow[index]).length;
  },
  // No node can take the job, so the explanation covers every node.
  explain: () => explain({ requires: ["has-gpu", "cpus>=64", "docker"] }, nodes).known,
};

/** Explaining is repeated, each time with fresh nodes. */
const RUNS = way === "explain" ? 11 : 1;
let placed = 0;
const times: number[] = [];
for (let run = 0; run < RUNS; run++) {
  const start = performance.now();
  placed = ways[way]?.() ?? 0;
  times.push(performance.now() - start);
  if (run + 1 < RUNS) nodes = makeNodes(nodeCount, slots);
}
const [firstMs = 0, ...more] = times;
const ms = more.sort((a, b) => a - b)[more.length >> 1] ?? firstMs;
const peakMb = process.resourceUsage().maxRSS / 1024;
const measured: Measured = { ms, firstMs, placed, peakMb };
console.log(JSON.stringify(measured));
