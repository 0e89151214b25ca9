import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { defineWorkflow } from "../define-workflow.ts";
import { InvalidInputError } from "../errors.ts";
import type { ExecResult } from "../step.ts";
import { runWorkflow } from "./run-workflow.ts";

const encode = defineWorkflow({
  name: "encode",
  input: z.object({ files: z.number().default(2) }),
})
  .step("list", {}, async ({ input, log }) => {
    log.info({ files: input.files }, "listed");
    return { files: Array.from({ length: input.files }, (_, at) => `${at}.wav`), at: undefined };
  })
  .step("encode", { after: ["list"], requires: ["has-gpu"] }, async ({ results, exec }) => {
    const { stdout } = await exec(["ffmpeg", ...results.list.files]);
    return stdout;
  })
  .step("tidy", { after: ["encode"] }, async ({ log }) => log.warn("tidied"));

const answers =
  (stdout: string) =>
  async (argv: readonly string[]): Promise<ExecResult> => ({
    stdout: `${stdout} ${argv.join(" ")}`,
    stderr: "",
    truncated: false,
  });

describe("runWorkflow", () => {
  test("runs the steps in order, with results as they would be stored", async () => {
    const { results, log } = await runWorkflow(encode, { exec: answers("ran") });
    expect(results).toEqual({
      list: { files: ["0.wav", "1.wav"] },
      encode: "ran ffmpeg 0.wav 1.wav",
      tidy: null,
    });
    expect(results.list).not.toHaveProperty("at");
    expect(log).toEqual(["list info listed", "tidy warn tidied"]);
    expectTypeOf(results.encode).toEqualTypeOf<string>();
    expectTypeOf(results.tidy).toEqualTypeOf<null>();
  });

  test("takes the place of steps whose results are given", async () => {
    const { results, log } = await runWorkflow(encode, { results: { encode: "done" } });
    expect(results.encode).toBe("done");
    expect(log).toEqual(["list info listed", "tidy warn tidied"]);
  });

  test("refuses an input that does not fit", async () => {
    // @ts-expect-error the input is typed
    await expect(runWorkflow(encode, { input: { files: "2" } })).rejects.toThrow(InvalidInputError);
  });

  test("fails with the error of the step, and says which program no answer was given for", async () => {
    await expect(runWorkflow(encode)).rejects.toThrow("the step runs ffmpeg: pass `exec`");
  });

  test("goes on after a failure with the steps that run then, and throws it at the end", async () => {
    const ran: string[] = [];
    const does = (name: string) => async () => void ran.push(name);
    const workflow = defineWorkflow({ name: "ship" })
      .step("lint", { optional: true }, async () => {
        throw new Error("3 warnings");
      })
      .step("ship", { after: ["lint"] }, async ({ results }) => {
        ran.push(`ship with ${results.lint}`);
        throw new Error("the wind is against us");
      })
      .step("sail", { after: ["ship"] }, does("sail"))
      .step(
        "undo-lint",
        { after: ["lint"], runsAfter: "failure", skip: "cascade" },
        does("undo-lint"),
      )
      .step("after-undo", { after: ["undo-lint"] }, does("after-undo"))
      .step("undo", { after: ["sail"], runsAfter: "failure" }, does("undo"))
      .step("tidy", { after: ["undo", "after-undo"], runsAfter: "always" }, does("tidy"));
    await expect(runWorkflow(workflow)).rejects.toThrow("the wind is against us");
    expect(ran).toEqual(["ship with undefined", "undo", "tidy"]);
  });

  test("skips the steps whose condition says so, and fails with one that throws", async () => {
    const workflow = defineWorkflow({ name: "ask", input: z.object({ size: z.number() }) })
      .step("big", { when: ({ input }) => input.size > 9 }, async () => "big")
      .step("use", { after: ["big"] }, async ({ results }) => results.big ?? "small")
      .step("bad", { when: () => JSON.parse("{") }, async () => 1)
      .step("end", { after: ["bad"], runsAfter: "always" }, async () => 1);
    const small = runWorkflow(workflow, { input: { size: 1 }, results: { bad: 1 } });
    expect((await small).results).toEqual({ use: "small", bad: 1, end: 1 });
    const big = runWorkflow(workflow, { input: { size: 10 }, results: { bad: 1 } });
    expect((await big).results).toMatchObject({ big: "big", use: "big" });
    await expect(runWorkflow(workflow, { input: { size: 1 } })).rejects.toThrow(SyntaxError);
  });

  test("runs a step for each item of a list, and lets as many fail as may", async () => {
    const listed = defineWorkflow({ name: "transcode" })
      .step("list", {}, async () => ({ files: [{ path: "a.mkv" }, { path: "b.mkv" }] }))
      .step("config", {}, async () => 23);
    const encode = async ({
      key,
      index,
      results,
    }: {
      key: string;
      index: number;
      results: { config: number };
    }) => {
      if (key === "b.mkv") throw Object.assign(new Error("no audio"), { code: "NO_AUDIO" });
      return `${index} at ${results.config}`;
    };
    const options = { over: "list.files", after: ["config"], key: "path" } as const;
    const { results } = await runWorkflow(
      listed
        .map("encode", { ...options, tolerate: "50%" }, encode)
        .map("again", { over: "encode" }, async ({ item }) => item.ok),
    );
    expect(results.encode).toEqual([
      { ok: true, value: "0 at 23" },
      { ok: false, error: { code: "NO_AUDIO", message: "no audio" } },
    ]);
    expect(results.again).toEqual([true, false]);
    await expect(runWorkflow(listed.map("encode", options, encode))).rejects.toThrow("no audio");
  });

  test("starts no step after its signal has aborted", async () => {
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(runWorkflow(encode, { signal })).rejects.toThrow("enough");
  });
});
