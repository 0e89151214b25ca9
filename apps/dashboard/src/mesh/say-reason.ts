/** The codes of docs/placement.md. */
const WORDS: Readonly<Record<string, string>> = {
  placeable: "a node takes it now",
  no_capable_node_free: "the nodes that could run it are full",
  concurrency_limit: "as many of its kind run as may",
  no_capable_node_active: "the nodes that could run it are paused or draining",
  no_capable_node_online: "the nodes that could run it are offline",
  no_version: "no node has its workflow's code in this version",
  excluded: "every node that could run it gave it back too often",
  no_capable_node: "no known node could ever run it",
  no_nodes: "no node is known",
};

/** Why a step waits, from the reason's code; the code itself where it is one of a newer hub. */
export const sayReason = (code: string): string => WORDS[code] ?? code;
