import { defineWorkflow } from "@loom/workflow";
import { describe, expect, test } from "vitest";
import { findStep } from "./find-step.ts";

const deploy = defineWorkflow({ name: "deploy" }).step("build", {}, async () => {});
const workflows = new Map([[deploy.name, deploy]]);
const node = { name: "forge", capabilities: ["docker"] };
const job = { workflow: "deploy", step: "build", requires: ["docker", "node=forge"] };

describe("findStep", () => {
  test("finds the step that the job asks for", () => {
    expect(findStep(job, node, workflows)).toBe(deploy.steps[0]);
  });

  test("declines what the node does not offer, and says what that is", () => {
    const requires = ["has-gpu", "docker", "node=oracle"];
    expect(findStep({ ...job, requires }, node, workflows)).toEqual({
      declined: "forge lacks has-gpu and has node=forge where node=oracle is required",
    });
  });

  test("declines a run that was planned with other code, and says which it has", () => {
    const capabilities = ["workflow:deploy", "workflow:deploy@aaa"];
    const requires = ["workflow:deploy@bbb"];
    expect(findStep({ ...job, requires }, { ...node, capabilities }, workflows)).toEqual({
      declined: "forge has version aaa of workflow deploy, not bbb",
    });
  });

  test.for([
    { workflow: "deploy", step: "restart" },
    { workflow: "backup", step: "build" },
  ])("declines step $step of workflow $workflow, which it does not have", (wanted) => {
    expect(findStep({ ...job, ...wanted }, node, workflows)).toEqual({
      declined: `forge has no step ${wanted.step} in workflow ${wanted.workflow}`,
    });
  });
});
