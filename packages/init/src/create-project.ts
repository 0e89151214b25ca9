import { cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";

// The path is the same from src/ and from dist/.
const TEMPLATE = fileURLToPath(new URL("../template/", import.meta.url));

/** Files that a folder may hold and still count as empty. */
const IGNORED = new Set([".git", ".DS_Store"]);

/** The folder cannot become a project. */
export class ProjectError extends Error {
  override readonly name = "ProjectError";
  readonly code = "PROJECT";
}

export interface ProjectOptions {
  /** The `package.json` of the `@loom/workflow` that the project uses; default: the one that this package uses. */
  readonly workflowManifest?: string;
}

/**
 * Creates a folder for a user's own workflows: `package.json`, `tsconfig.json`, a workflow, its test, and a page that explains them.
 * It installs nothing.
 *
 * @returns The absolute path of the folder.
 * @throws ProjectError when the folder has files already, or cannot be written. It changes no existing file.
 */
export async function createProject(
  folder: string,
  {
    workflowManifest = fileURLToPath(import.meta.resolve("@loom/workflow/package.json")),
  }: ProjectOptions = {},
): Promise<string> {
  const target = path.resolve(folder);
  const present = await readdir(target).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw unwritable(target, error);
  });
  const kept = present.filter((name) => !IGNORED.has(name));
  if (kept.length > 0) {
    throw new ProjectError(
      `${target} is not empty: it has ${kept.slice(0, 3).join(", ")}. Name a folder that does not exist yet`,
    );
  }
  const manifest = {
    name: nameOf(target),
    private: true,
    type: "module",
    // The first version that runs TypeScript directly.
    engines: { node: ">=22.18" },
    scripts: { check: "tsc", test: 'node --test "**/*.test.ts"' },
    dependencies: { "@loom/workflow": await specOf(workflowManifest), zod: "^4.0.0" },
    devDependencies: { "@types/node": "^24.0.0", typescript: ">=5.9" },
  };
  try {
    await mkdir(target, { recursive: true });
    await cp(TEMPLATE, target, { recursive: true });
    await writeFile(path.join(target, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
    await writeFile(path.join(target, ".gitignore"), "node_modules/\n");
  } catch (error) {
    throw unwritable(target, error as Error);
  }
  return target;
}

const unwritable = (folder: string, cause: Error) =>
  new ProjectError(`${folder} cannot be written: ${cause.message}`, { cause });

/** A name that npm accepts. */
const nameOf = (folder: string): string =>
  path
    .basename(folder)
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .replaceAll(/^-+|-+$/g, "") || "workflows";

/** The project's dependency on `@loom/workflow`: its version, or its folder in a clone, because no registry has it. */
async function specOf(manifest: string): Promise<string> {
  const { version } = JSON.parse(await readFile(manifest, "utf8")) as { version: string };
  const isInstalled = manifest.split(path.sep).includes("node_modules");
  return isInstalled ? `^${version}` : `file:${path.dirname(manifest)}`;
}
