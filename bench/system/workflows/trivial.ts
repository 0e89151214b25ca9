import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

const nothing = async () => null;

/** Steps that do nothing and that any node can run. */
export const trivial = defineWorkflow({ name: "trivial", input: z.object({}) }).step(
  "only",
  {},
  nothing,
);
export const threeSteps = defineWorkflow({ name: "three-steps", input: z.object({}) })
  .step("one", {}, nothing)
  .step("two", { after: ["one"] }, nothing)
  .step("three", { after: ["two"] }, nothing);
