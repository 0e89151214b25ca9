import { toProblem } from "@loom/http";
import { createInlinePlanner } from "@loom/worker";
import { defineWorkflow, type WorkflowManifest } from "@loom/workflow";
import { describe, expect, test } from "vitest";
import { findWorkflow, planJob } from "./plan.ts";

/** A planner of which a test says what it knows and what it still imports. */
function planner(known: string[], loading: string[] = []) {
  const listeners = new Set<() => void>();
  const workflows = new Map<string, WorkflowManifest>();
  const add = (names: string[]) => {
    for (const name of names) workflows.set(name, { name } as WorkflowManifest);
  };
  add(known);
  return {
    workflows,
    loading,
    listeners,
    onChange(listener: () => void) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
    /** Ends an import. */
    loaded(file: string, names: string[]) {
      add(names);
      loading.splice(loading.indexOf(file), 1);
      for (const listener of listeners) listener();
    },
  };
}

const problemOf = async (call: Promise<unknown>) => toProblem(await call.catch((error) => error));

describe("findWorkflow", () => {
  test("lists the known workflows, and those that may have been meant", async () => {
    expect(await problemOf(findWorkflow("depoly", planner(["deploy", "smoke"])))).toEqual({
      title: "Unknown workflow",
      status: 404,
      code: "UNKNOWN_WORKFLOW",
      detail: "there is no workflow depoly; did you mean deploy?",
      hint: "use one of deploy, smoke",
      suggestions: ["deploy"],
    });
    expect(await problemOf(findWorkflow("a", planner([])))).toMatchObject({
      detail: "there is no workflow a",
      hint: "set LOOM_WORKFLOWS_DIR on the hub to a folder with workflow files",
    });
  });

  test("waits for the file that it may be in, and for no other", async () => {
    const made = planner(["deploy"], ["a.ts", "b.ts", "endless.ts"]);
    expect(await findWorkflow("deploy", made)).toEqual({ name: "deploy" });
    const found = findWorkflow("smoke", made);
    made.loaded("a.ts", ["other"]);
    made.loaded("b.ts", ["smoke"]);
    expect(await found).toEqual({ name: "smoke" });
    expect(made.listeners.size).toBe(0);
  });

  test("says that there is none once all files are there", async () => {
    const made = planner(["deploy"], ["a.ts"]);
    const found = problemOf(findWorkflow("smoke", made));
    made.loaded("a.ts", []);
    expect(await found).toMatchObject({ status: 404, code: "UNKNOWN_WORKFLOW" });
  });

  test("waits no longer than it may", async () => {
    const made = planner([], ["endless.ts"]);
    expect(await problemOf(findWorkflow("smoke", made, { waitMs: 10 }))).toMatchObject({
      status: 503,
      code: "WORKFLOWS_LOADING",
      detail: "workflow smoke is not known yet: the hub still imports endless.ts",
    });
    expect(made.listeners.size).toBe(0);
  });
});

describe("planJob", () => {
  test("refuses a step that maps over a list, which a job of its own does not have", async () => {
    const transcode = defineWorkflow({ name: "transcode" })
      .step("list", {}, async () => [1])
      .map("encode", { over: "list" }, async () => {});
    const planner = await createInlinePlanner([transcode]);
    const planned = planJob(
      { workflow: "transcode", step: "encode" },
      { planner, defaultHost: undefined },
    );
    expect(await problemOf(planned)).toMatchObject({
      status: 422,
      code: "INVALID_REQUEST",
      errors: [
        {
          path: "step",
          message: "encode maps over a list, which only a run of transcode has: start a run",
        },
      ],
    });
  });
});
