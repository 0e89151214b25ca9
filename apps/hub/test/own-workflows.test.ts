import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished } from "vitest";
import { type Body, startProgram, TOKEN, test } from "./fixtures.ts";

const HELPER = `export function answer(): number {
  return 42;
}
`;
const workflow = (options = "") => `import { defineWorkflow, cron } from "@loom/workflow";
import { answer } from "../lib/helper.ts";

export default defineWorkflow({ name: "mine"${options} })
  .step("only", {}, async () => ({ answer: answer() }));
`;

/** A hub whose workflows are in a folder of their own, which nothing of this repository is near. */
const own = test.extend("hub", async ({ database }) => {
  const root = await mkdtemp(path.join(tmpdir(), "loom-own-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const write = async (name: string, text: string) => {
    await mkdir(path.dirname(path.join(root, name)), { recursive: true });
    await writeFile(path.join(root, name), text);
  };
  await write("lib/helper.ts", HELPER);
  await write("flows/mine.ts", workflow());
  const program = await startProgram(["start"], {
    SUPABASE_URL: database.url,
    SUPABASE_SECRET_KEY: database.serviceKey,
    LOOM_TOKEN: TOKEN,
    PORT: "0",
    LOOM_WORKFLOWS_DIR: path.join(root, "flows"),
    LOOM_STATE_DIR: path.join(root, "state"),
    LOOM_WAKE: "off",
  });
  const { url } = await program.said("listening");
  const ask = async (method: string, at: string): Promise<Body> => {
    const answer = await fetch(`${url}/api/loom${at}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    return (await answer.json()) as Body;
  };
  const strands = async () =>
    (await ask("GET", "/strands")) as {
      data: { name: string; version: string; schedule: unknown }[];
      problems: Body[];
    };
  const versionOf = async (name: string) =>
    (await strands()).data.find((each) => each.name === name)?.version;
  const run = async () => {
    const { runId } = await ask("POST", "/strands/mine/run");
    await expect.poll(async () => (await ask("GET", `/runs/${runId}`)).status).not.toBe("running");
    const { steps } = (await ask("GET", `/runs/${runId}`)) as { steps: { id: number }[] };
    return ask("GET", `/jobs/${steps[0]?.id}`);
  };
  return { root, write, ask, strands, versionOf, run };
});

describe("a hub with a folder of its own workflows", { timeout: 120_000 }, () => {
  own(
    "makes what is saved a new version within a second, and keeps the last good one of what is broken",
    async ({ hub, queue }) => {
      const { root, write, strands, versionOf, run } = hub;
      await expect.poll(() => versionOf("mine")).toMatch(/^[0-9a-f]{64}$/);
      expect(await run()).toMatchObject({ state: "succeeded", result: { answer: 42 } });
      const timings: number[] = [];
      const changes = async (change: () => Promise<void>, isThere: () => Promise<boolean>) => {
        const startedAt = performance.now();
        await change();
        await expect.poll(isThere, { interval: 20 }).toBe(true);
        timings.push(performance.now() - startedAt);
      };

      // A helper, outside of the folder.
      const first = await versionOf("mine");
      await changes(
        () => write("lib/helper.ts", HELPER.replace("42", "43")),
        async () => (await versionOf("mine")) !== first,
      );
      expect(await run()).toMatchObject({ result: { answer: 43 } });

      // A broken file keeps its last good version.
      const second = await versionOf("mine");
      await changes(
        () => write("lib/helper.ts", "export const = 1;\n"),
        async () => (await strands()).problems.length > 0,
      );
      expect((await strands()).problems).toMatchObject([
        {
          ...{ file: path.join(root, "lib/helper.ts"), line: 1, column: 14 },
          frame: "> 1 | export const = 1;\n    |              ^\n  2 |",
          message: expect.stringContaining("mine.ts cannot be bundled: Expected identifier"),
        },
      ]);
      expect(await versionOf("mine")).toBe(second);
      expect(await run()).toMatchObject({ result: { answer: 43 } });

      // The fixed file runs again, and the place of a step's error is the author's.
      await changes(
        () => write("lib/helper.ts", HELPER.replace("return 42", 'throw new Error("lost")')),
        async () => (await strands()).problems.length === 0,
      );
      const { error } = (await run()) as { error: { message: string; stack: string } };
      expect(error.message).toBe("lost");
      expect(error.stack).toContain(`at answer (${path.join(root, "lib/helper.ts")}:2:9)`);
      expect(error.stack).toContain(`${path.join(root, "flows/mine.ts")}:5:`);

      // A new file in a new folder, a schedule, and a file that goes.
      await changes(
        () =>
          write(
            "flows/other/workflow.ts",
            workflow().replace('"mine"', '"other"').replace("..", "../.."),
          ),
        async () => (await versionOf("other")) !== undefined,
      );
      await write("flows/mine.ts", workflow(`, schedule: cron("0 3 * * *")`));
      await expect
        .poll(async () => (await queue.listSchedules()).schedules.map(({ id }) => id))
        .toContain("mine");
      await changes(
        () => rm(path.join(root, "flows/other"), { recursive: true }),
        async () => (await versionOf("other")) === undefined,
      );
      // Most are seen well within a second; the slower ones may have waited for other tests of this machine.
      expect(timings.sort((one, other) => one - other).at(1)).toBeLessThan(1_000);
    },
  );

  own(
    "notify the hooks that they name, and the doctor names one that does not exist",
    async ({ hub, queue, database }) => {
      const { write, ask, strands, run } = hub;
      const failing = (options: string) =>
        workflow(options).replace("answer()", "answer.no.answer");
      await write("flows/mine.ts", failing(', notify: { failed: "ops" }'));
      await expect
        .poll(async () => (await strands()).problems)
        .toMatchObject([{ message: expect.stringContaining('there is no rule "failed"') }]);

      await write("flows/mine.ts", failing(', notify: { "run.failed": ["ops", "later"] }'));
      await queue.createHook({
        ...{ name: "ops", rules: [], workflows: [], waitingMs: null, enabled: true },
        ...{ target: { shown: {}, sealed: "" }, createdBy: "ada" },
      });
      await expect
        .poll(async () => (await ask("GET", "/strands/mine")).notify)
        .toEqual({ "run.failed": ["ops", "later"] });
      const { checks } = (await ask("GET", "/doctor")) as { checks: Body[] };
      expect(checks.find(({ name }) => name === "hooks")).toMatchObject({
        status: "warn",
        findings: [{ subject: "later", evidence: expect.stringContaining("mine notifies") }],
      });
      // The hub stores a workflow's hooks a moment after it has read the file.
      await expect
        .poll(() => database.sql`select hook from public.loom_notify order by hook`)
        .toEqual([{ hook: "later" }, { hook: "ops" }]);
      expect(await run()).toMatchObject({ state: "failed" });
      await expect
        .poll(async () => (await queue.listDeliveries("ops"))?.deliveries)
        .toMatchObject([{ rule: "run.failed" }]);
    },
  );
});
