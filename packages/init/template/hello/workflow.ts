import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";
import { greet } from "./greet.ts";

export const hello = defineWorkflow({
  name: "hello",
  input: z.object({ name: z.string().default("world") }),
})
  // Runs on the machine that the scheduler chooses. `requires: ["has-gpu"]` or `host: "tower"` would narrow the choice.
  .step("look", {}, async ({ exec, node }) => {
    const { stdout } = await exec(["uname", "-sm"]);
    return { node, system: stdout.trim() };
  })
  // Gets the typed result of `look`, whichever machine ran it.
  .step("greet", { after: ["look"] }, async ({ input, results, log }) => {
    const text = greet(input.name, results.look);
    log.info({ text }, "greeting");
    return text;
  });
