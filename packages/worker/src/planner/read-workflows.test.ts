import { symlink } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { recordLog } from "../../test/recorded-log.ts";
import { codeOf, define, folderOf } from "../../test/workflow-folder.ts";
import { readWorkflows } from "./create-planner.ts";
import { findWorkflowFiles } from "./workflow-files.ts";

const load = async (folder: string) =>
  readWorkflows({
    modules: await findWorkflowFiles(folder),
    code: (await codeOf()).code,
    env: process.env,
    log: recordLog(),
  });

const namesOf = (loaded: Awaited<ReturnType<typeof load>>) =>
  loaded.workflows.map(({ name }) => name);

describe("readWorkflows", { timeout: 60_000 }, () => {
  test("imports files, and folders with a workflow file, by name", async () => {
    const folder = await folderOf({
      "b.ts": define("from-file"),
      "a/workflow.ts": define("from-folder"),
      "a/commands.ts": "throw new Error('not a workflow file');",
      "c.mjs": `export default { name: "by-shape", version: "v1", requires: [], schedule: null, steps: [] };`,
    });
    const loaded = await load(folder);
    expect(loaded.problems).toEqual([]);
    expect(namesOf(loaded)).toEqual(["from-folder", "from-file", "by-shape"]);
    // The version of each is the digest of its bundle, whatever it says of itself.
    const versions = loaded.workflows.map(({ version }) => version);
    expect([...loaded.modules]).toMatchObject(
      ["from-folder", "from-file", "by-shape"].map((name, index) => [
        name,
        { version: versions[index], url: expect.stringContaining(`/${versions[index]}.mjs`) },
      ]),
    );
    expect(new Set(versions.filter((version) => /^[0-9a-f]{64}$/.test(version))).size).toBe(3);
  });

  test("leaves tests, declarations and other files alone", async () => {
    const fails = "throw new Error('imported');";
    const folder = await folderOf({
      "deploy.ts": define("deploy"),
      "deploy.test.ts": fails,
      "deploy.test-d.ts": fails,
      "deploy.d.ts": fails,
      ".hidden.ts": fails,
      "node_modules/workflow.ts": fails,
      "README.md": "",
    });
    const loaded = await load(folder);
    expect(loaded.problems).toEqual([]);
    expect(namesOf(loaded)).toEqual(["deploy"]);
  });

  test("reports a broken file by its name, and uses the others", async () => {
    const folder = await folderOf({
      "broken.ts": `throw new Error("no such host");`,
      "syntax.ts": "const first: number = 1;\nexport const = 1;\nconst third = 3;",
      "good.ts": define("good"),
    });
    const loaded = await load(folder);
    expect(namesOf(loaded)).toEqual(["good"]);
    expect(loaded.problems).toEqual([
      {
        ...{ file: path.join(folder, "broken.ts"), line: 1, column: 7, message: "no such host" },
        frame: '> 1 | throw new Error("no such host");\n    |       ^',
      },
      {
        ...{ file: path.join(folder, "syntax.ts"), line: 2, column: 14 },
        message: 'Expected identifier but found "="',
        frame: [
          "  1 | const first: number = 1;",
          "> 2 | export const = 1;",
          "    |              ^",
          "  3 | const third = 3;",
        ].join("\n"),
      },
    ]);
  });

  test("reports a file without a workflow", async () => {
    const folder = await folderOf({ "empty.ts": "export const answer = 42;" });
    expect(await load(folder)).toMatchObject({
      workflows: [],
      problems: [
        {
          file: path.join(folder, "empty.ts"),
          message: "exports no workflow made by defineWorkflow",
        },
      ],
    });
  });

  test("reports a name that is taken, and uses the rest of the file", async () => {
    const folder = await folderOf({
      "a.ts": define("deploy"),
      "b.ts": `${define("deploy")}${define("backup")
        .split("\n")[1]
        ?.replace("workflow:", "other:")}`,
    });
    const loaded = await load(folder);
    expect(namesOf(loaded)).toEqual(["deploy", "backup"]);
    expect(loaded.problems).toEqual([
      {
        ...{ file: path.join(folder, "b.ts"), line: 2, column: 58 },
        message: `workflow deploy is already defined in ${path.join(folder, "a.ts")}`,
        frame: expect.stringContaining("> 2 | export const workflow"),
        fix: expect.stringContaining("another name"),
      },
    ]);
  });

  test("counts a workflow once when a second file exports it again", async () => {
    const folder = await folderOf({
      "deploy/workflow.ts": define("deploy"),
      "index.ts": `export { workflow } from "./deploy/workflow.ts";`,
    });
    const loaded = await load(folder);
    expect(loaded.problems).toEqual([]);
    expect(namesOf(loaded)).toEqual(["deploy"]);
  });

  test("offers Loom's own workflows beside those of a folder, which may replace them", async () => {
    const own = await folderOf({ "own.ts": define("smoke"), "other.ts": define("deploy") });
    const folder = await folderOf({ "mine.ts": define("smoke", `{ priority: 7 }`) });
    const loaded = await readWorkflows({
      ...{ modules: await findWorkflowFiles(folder), own: await findWorkflowFiles(own) },
      ...{ code: (await codeOf()).code, env: process.env, log: recordLog() },
    });
    expect(loaded.problems).toEqual([]);
    expect(loaded.workflows.map(({ name, steps }) => [name, steps[0]?.priority]).sort()).toEqual([
      ["deploy", 100],
      ["smoke", 7],
    ]);
  });

  test("follows links, and reports one that leads nowhere", async () => {
    const elsewhere = await folderOf({ "real.ts": define("linked") });
    const folder = await folderOf({});
    await symlink(path.join(elsewhere, "real.ts"), path.join(folder, "link.ts"));
    await symlink(path.join(elsewhere, "gone.ts"), path.join(folder, "lost.ts"));
    const loaded = await load(folder);
    expect(namesOf(loaded)).toEqual(["linked"]);
    expect(loaded.problems).toMatchObject([{ file: path.join(folder, "lost.ts") }]);
  });

  test("finds nothing in an empty folder, and rejects a missing one", async () => {
    const folder = await folderOf({});
    expect(await load(folder)).toMatchObject({ workflows: [], problems: [] });
    await expect(load(path.join(folder, "none"))).rejects.toThrow("none");
  });
});
