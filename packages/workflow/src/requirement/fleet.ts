/**
 * The names of a hub's machines and workflows. It is empty here, and then any name may be written; the
 * file that `loom types` writes adds them, and then a misspelt name is a compile error.
 */
// biome-ignore lint/suspicious/noEmptyInterface: declarations in other files are merged into it
export interface Fleet {}

type Known<Key extends string> = Fleet extends { [Each in Key]: infer Name extends string }
  ? Name
  : string;

/** The name of a node. */
export type NodeName = Known<"nodes">;

/** The name of a workflow. */
export type WorkflowName = Known<"workflows">;

/**
 * A clause of a requirement. Where the fleet is known, the first name in it is one that a machine offers;
 * what follows the name is checked when the workflow is imported.
 */
export type RequirementClause = Fleet extends { capabilities: infer Name extends string }
  ? `${"" | "!"}${Name}` | `${"" | "!"}${Name}${"=" | "!" | "<" | ">" | " " | "|"}${string}`
  : string;
