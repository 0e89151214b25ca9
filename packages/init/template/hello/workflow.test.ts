import assert from "node:assert/strict";
import test from "node:test";
import { runWorkflow } from "@loom/workflow/testing";
import { hello } from "./workflow.ts";

test("greets by name, from the machine that `look` ran on", async () => {
  const { results } = await runWorkflow(hello, {
    input: { name: "Ada" },
    // Replaces `uname`, so that the test has the same answer everywhere.
    exec: async () => ({ stdout: "Linux x86_64\n", stderr: "", truncated: false }),
  });
  assert.equal(results.greet, "Hello Ada, from test (Linux x86_64)");
});
