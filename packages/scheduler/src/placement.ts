import type { Explanation } from "./explanation.ts";

/** What a batch came to for one of its jobs. */
export type Placement<Id extends string | number = string | number> = Placed<Id> | Unplaced<Id>;

/** A job has a node. */
export interface Placed<Id extends string | number = string | number> {
  readonly placed: true;
  readonly job: Id;
  readonly node: string;
  /** From 0 to 1. */
  readonly score: number;
  /** Why this node; with the option `keep`. A plain value that can be stored. */
  readonly record?: PlacementRecord;
}

/** A job has no node. */
export interface Unplaced<Id extends string | number = string | number> {
  readonly placed: false;
  readonly job: Id;
  /** As things were at the end of the batch. */
  readonly refusal: Refusal;
}

/** Why no node takes a job now; a plain value that can be stored. */
export type Refusal = Pick<Explanation, "code" | "summary" | "missing"> & {
  /** What somebody could do about it; `null` where nothing is known. */
  readonly fix: string | null;
};

/** How a node was chosen. Its size does not depend on the number of nodes. */
export interface PlacementRecord {
  /** What each scorer gave the chosen node, from 0 to 1, by name. */
  readonly scores: Readonly<Record<string, number>>;
  /** How many nodes fit, and the best of them: the chosen one first. */
  readonly eligible: number;
  readonly best: readonly { readonly node: string; readonly score: number }[];
  /** What decided: the score, or the name among nodes of equal score, or nothing where one node fit. */
  readonly decidedBy: "score" | "name" | "only";
}
