import { execFileSync } from "node:child_process";
import { globSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";

const ROOT = fileURLToPath(new URL("..", import.meta.url));

interface Example {
  title: string;
  /** Where it runs: imports resolve from here. */
  folder: string;
  code: string;
  /** What it prints, where the document says so. */
  output: string | undefined;
}

/** Where examples run whose own folder has no packages to import. */
const FOLDER_TO_RUN_IN: Record<string, string> = {
  ".": "e2e",
  docs: "apps/hub",
  "apps/hub": "e2e",
};

/** This example needs a running hub. The one in the hub's README starts it too. */
const CALLS_A_HUB = "packages/client/README.md 1";

const EXAMPLE = /```ts\n([\s\S]*?)```(?:\s*```text\n([\s\S]*?)```)?/g;

function examplesOf(readme: string): Example[] {
  const folder = path.dirname(readme);
  return [...readFileSync(path.join(ROOT, readme), "utf8").matchAll(EXAMPLE)].map(
    ([, code = "", output], index) => ({
      title: `${readme} ${index + 1}`,
      folder: path.join(ROOT, FOLDER_TO_RUN_IN[folder] ?? folder),
      code,
      output,
    }),
  );
}

const readmes = globSync(
  ["README.md", "docs/*.md", "packages/*/README.md", "apps/hub/README.md", "workflows/README.md"],
  {
    cwd: ROOT,
  },
);

describe("the examples in the READMEs and docs", () => {
  test.for(
    readmes
      .sort()
      .flatMap(examplesOf)
      .filter(({ title }) => title !== CALLS_A_HUB),
  )("$title runs, and prints what it says", ({ folder, code, output }) => {
    const file = path.join(folder, `.readme-example-${process.pid}.ts`);
    writeFileSync(file, code);
    onTestFinished(() => rmSync(file));
    const printed = execFileSync(process.execPath, ["--conditions=@loom/source", file], {
      cwd: folder,
      encoding: "utf8",
      timeout: 60_000,
    });
    if (output === undefined) expect(printed).not.toBe("");
    else expect(printed).toBe(output);
  });

  test("are there for every library", () => {
    const packages = globSync("packages/*", { cwd: ROOT });
    const withExample = readmes.filter((readme) => examplesOf(readme).length > 0).map(path.dirname);
    expect(withExample).toEqual(expect.arrayContaining(packages));
  });
});
