import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { loadWorkflows } from "./load-workflows.ts";

const define = (name: string) =>
  `import { defineWorkflow } from "@loom/workflow";
export const workflow: unknown = defineWorkflow({ name: "${name}" }).step("only", {}, async () => {});\n`;

/** A folder with these files, inside the package so that their imports resolve. */
async function folderOf(files: Record<string, string>): Promise<string> {
  const parent = path.resolve(import.meta.dirname, "../.loom");
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(path.join(parent, "workflows-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  return folder;
}

const namesOf = (loaded: Awaited<ReturnType<typeof loadWorkflows>>) =>
  loaded.workflows.map(({ name }) => name);

describe("loadWorkflows", () => {
  test("imports files, and folders with a workflow file, by name", async () => {
    const folder = await folderOf({
      "b.ts": define("from-file"),
      "a/workflow.ts": define("from-folder"),
      "a/commands.ts": "throw new Error('not a workflow file');",
      "c.mjs": `export default { name: "by-shape", version: "v1", steps: [] };`,
    });
    const loaded = await loadWorkflows(folder);
    expect(loaded.problems).toEqual([]);
    expect(namesOf(loaded)).toEqual(["from-folder", "from-file", "by-shape"]);
    const urlOf = (file: string) => pathToFileURL(path.join(folder, file)).href;
    expect([...loaded.modules]).toMatchObject([
      ["from-folder", { url: urlOf("a/workflow.ts"), version: loaded.workflows[0]?.version }],
      ["from-file", { url: urlOf("b.ts"), version: loaded.workflows[1]?.version }],
      ["by-shape", { url: urlOf("c.mjs"), version: "v1" }],
    ]);
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
    const loaded = await loadWorkflows(folder);
    expect(loaded.problems).toEqual([]);
    expect(namesOf(loaded)).toEqual(["deploy"]);
  });

  test("reports a broken file by its name, and uses the others", async () => {
    const folder = await folderOf({
      "broken.ts": `throw new Error("no such host");`,
      "syntax.ts": "export const = 1;",
      "good.ts": define("good"),
    });
    const loaded = await loadWorkflows(folder);
    expect(namesOf(loaded)).toEqual(["good"]);
    expect(loaded.problems).toEqual([
      { file: path.join(folder, "broken.ts"), problem: "no such host" },
      { file: path.join(folder, "syntax.ts"), problem: expect.any(String) },
    ]);
  });

  test("reports a file without a workflow", async () => {
    const folder = await folderOf({ "empty.ts": "export const answer = 42;" });
    expect(await loadWorkflows(folder)).toMatchObject({
      workflows: [],
      problems: [
        {
          file: path.join(folder, "empty.ts"),
          problem: "exports no workflow made by defineWorkflow",
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
    const loaded = await loadWorkflows(folder);
    expect(namesOf(loaded)).toEqual(["deploy", "backup"]);
    const problem = `workflow deploy is defined in ${path.join(folder, "a.ts")} already`;
    expect(loaded.problems).toEqual([{ file: path.join(folder, "b.ts"), problem }]);
  });

  test("counts a workflow once that a second file exports again", async () => {
    const folder = await folderOf({
      "deploy/workflow.ts": define("deploy"),
      "index.ts": `export { workflow } from "./deploy/workflow.ts";`,
    });
    const loaded = await loadWorkflows(folder);
    expect(loaded.problems).toEqual([]);
    expect(namesOf(loaded)).toEqual(["deploy"]);
  });

  test("follows links, and reports one that leads nowhere", async () => {
    const elsewhere = await folderOf({ "real.ts": define("linked") });
    const folder = await folderOf({});
    await symlink(path.join(elsewhere, "real.ts"), path.join(folder, "link.ts"));
    await symlink(path.join(elsewhere, "gone.ts"), path.join(folder, "lost.ts"));
    const loaded = await loadWorkflows(folder);
    expect(namesOf(loaded)).toEqual(["linked"]);
    expect(loaded.problems).toMatchObject([{ file: path.join(folder, "lost.ts") }]);
  });

  test("finds nothing in an empty folder, and rejects one that is not there", async () => {
    const folder = await folderOf({});
    expect(await loadWorkflows(folder)).toMatchObject({ workflows: [], problems: [] });
    await expect(loadWorkflows(path.join(folder, "none"))).rejects.toThrow("none");
  });
});
