import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { createProject } from "./create-project.ts";

function newFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-init-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

const read = (folder: string, file: string) => readFileSync(path.join(folder, file), "utf8");

describe("createProject", () => {
  test("creates a project in a new folder and names it after the folder", async () => {
    const target = path.join(newFolder(), "My Workflows!");
    expect(await createProject(target)).toBe(target);
    expect(readdirSync(target).sort()).toEqual(
      [".gitignore", "README.md", "hello", "package.json", "tsconfig.json"].sort(),
    );
    expect(JSON.parse(read(target, "package.json"))).toMatchObject({
      name: "my-workflows",
      dependencies: { "@loom/workflow": expect.stringMatching(/^file:.*packages\/workflow$/) },
    });
  });

  test("names the version of an installed package", async () => {
    const folder = newFolder();
    const installed = path.join(folder, "node_modules/@loom/workflow");
    mkdirSync(installed, { recursive: true });
    const workflowManifest = path.join(installed, "package.json");
    writeFileSync(workflowManifest, '{ "version": "1.2.3" }');
    const target = await createProject(path.join(folder, "own"), { workflowManifest });
    expect(JSON.parse(read(target, "package.json")).dependencies["@loom/workflow"]).toBe("^1.2.3");
  });

  test("uses a folder that holds only a repository", async () => {
    const folder = newFolder();
    mkdirSync(path.join(folder, ".git"));
    await expect(createProject(folder)).resolves.toBe(folder);
  });

  test("does not change a folder that has files, and says what to do", async () => {
    const folder = newFolder();
    writeFileSync(path.join(folder, "notes.txt"), "mine");
    await expect(createProject(folder)).rejects.toMatchObject({
      code: "PROJECT",
      message: `${folder} is not empty: it has notes.txt. Name a folder that does not exist yet`,
    });
    expect(readdirSync(folder)).toEqual(["notes.txt"]);
  });

  test("says why it cannot write", async () => {
    const folder = newFolder();
    writeFileSync(path.join(folder, "file"), "");
    await expect(createProject(path.join(folder, "file/own"))).rejects.toThrow(
      /cannot be written: .*ENOTDIR/,
    );
  });
});
