import { isWaiting, type Mesh } from "./mesh.ts";

/** What is going on, in numbers. */
export interface Verdict {
  nodes: number;
  online: number;
  running: number;
  waiting: number;
}

export function judge({ nodes, runs, jobs }: Mesh): Verdict {
  return {
    nodes: nodes.size,
    online: [...nodes.values()].filter(({ online }) => online).length,
    running: [...runs.values()].filter(({ status }) => status === "running").length,
    waiting: [...jobs.values()].filter(isWaiting).length,
  };
}
